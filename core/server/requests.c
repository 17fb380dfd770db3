/*
 * What `moonloop status`, `reload`, `stop` and the like are answered over the control socket.
 */
#include "base/escape.h"
#include "base/log.h"
#include "server/master_state.h"
#include "server/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void answer_reload(struct control_client *client, enum reload_outcome outcome,
                          const char *reason, const struct reload *reload)
{
    static const char *const names[] = {"committed", "partial", "refused"};
    struct buf text = {0};
    if (client->is_json) {
        buf_printf(&text, "{\"outcome\":\"%s\",\"generation\":%llu,\"reason\":", names[outcome],
                   (unsigned long long)reload_generation(reload));
        escape_json(&text, str_of(reason));
        buf_add_text(&text, ",\"failures\":");
        failures_to_json(reload_failures(reload), &text);
        buf_add_text(&text, "}\n");
    } else {
        failures_to_text(reload_failures(reload), &text);
        buf_printf(&text, "%s: %s (generation %llu)\n", names[outcome], reason,
                   (unsigned long long)reload_generation(reload));
    }
    control_answer(client, outcome == RELOAD_COMMITTED, buf_str(&text));
    buf_deinit(&text);
}

void requests_reload_done(void *data, enum reload_outcome outcome, const char *reason)
{
    struct master *master = data;
    struct control_client *next;
    if (master->is_announced && !master->is_stopping)
        master_tell_ready(master);
    if (master->control == NULL)
        return;
    for (struct control_client *client = control_next(master->control, NULL); client != NULL;
         client = next) {
        next = control_next(master->control, client);
        if (client->waits_for_attempt != 0 &&
            client->waits_for_attempt <= reload_attempts_ended(master->reload))
            answer_reload(client, outcome, reason, master->reload);
    }
}

static void answer_text(struct control_client *client, bool is_ok, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void answer_text(struct control_client *client, bool is_ok, const char *format, ...)
{
    char sentence[FAULT_TEXT_BYTES];
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    if (client->is_json) {
        buf_printf(&text, "{\"ok\":%s,\"message\":", is_ok ? "true" : "false");
        escape_json(&text, str_of(sentence));
        buf_add_text(&text, "}\n");
    } else {
        buf_printf(&text, "%s\n", sentence);
    }
    control_answer(client, is_ok, buf_str(&text));
    buf_deinit(&text);
}

static void on_reload_request(struct master *master, struct control_client *client, bool is_waiting)
{
    struct fault fault = {0};
    if (master->is_stopping) {
        answer_text(client, false, "the server is stopping");
        return;
    }
    if (!master_reload_config(master, &fault)) {
        answer_text(client, false, "refused: %s", fault.text);
        return;
    }
    if (!is_waiting)
        answer_text(client, true, "reloading");
    else /* before it starts: it may end in the same moment */
        client->waits_for_attempt = reload_next_attempt(master->reload);
    reload_start(master->reload, RELOAD_ASKED);
}

static void on_restart_request(struct master *master, struct control_client *client,
                               bool is_waiting)
{
    if (master->is_stopping) {
        answer_text(client, false, "the server is stopping");
        return;
    }
    log_info("asked to replace the workers, one by one");
    if (is_waiting)
        client->waits_for_restart = true;
    else
        answer_text(client, true, "restarting the workers");
    slots_roll(master->slots, SLOTS_TRY);
}

void requests_roll_failed(struct master *master, const struct child *child, const char *why)
{
    struct control_client *next;
    char text[FAULT_TEXT_BYTES];
    const char *refusal = child->prepared != 0 ? reload_refusal(master->reload) : NULL;
    const char *reason = refusal != NULL ? refusal : why;
    uint32_t wanted = slots_wanted(master->slots);
    bool is_insisting = slots_is_insisting(master->slots);
    snprintf(
        text, sizeof(text), "worker %u (pid %d) did not start: %.*s; %u of %u workers are new, %s",
        child_number(child), (int)child->pid, (int)strcspn(reason, "\n"), reason,
        wanted - slots_left_to_roll(master->slots), wanted,
        is_insisting ? "the others go on and are tried again" : "the others go on as they are");
    if (!is_insisting) /* else the log has each death already */
        log_error("the workers cannot all be replaced: %s", text);
    if (master->control == NULL)
        return;
    for (struct control_client *client = control_next(master->control, NULL); client != NULL;
         client = next) {
        next = control_next(master->control, client);
        if (client->waits_for_restart)
            answer_text(client, false, "the restart has failed: %s", text);
    }
}

void requests_look_at_restart(struct master *master)
{
    struct control_client *next;
    if (master->control == NULL || slots_is_rolling(master->slots))
        return;
    for (struct control_client *client = control_next(master->control, NULL); client != NULL;
         client = next) {
        next = control_next(master->control, client);
        if (client->waits_for_restart)
            answer_text(client, !master->is_stopping, "%s",
                        master->is_stopping ? "the server is stopping" : "every worker is new");
    }
}

void requests_give_up(struct master *master)
{
    struct control_client *next;
    for (struct control_client *client =
             master->control != NULL ? control_next(master->control, NULL) : NULL;
         client != NULL; client = next) {
        next = control_next(master->control, client);
        if (client->waits_for_attempt != 0 || client->waits_for_restart ||
            client->waits_for_upgrade)
            answer_text(client, false, "the server is stopping");
    }
}

static void on_scale_request(struct master *master, struct control_client *client, const char *text)
{
    struct fault fault = {0};
    uint64_t count;
    if (!str_to_u64(str_of(text), &count) || count > CONFIG_MAX_WORKERS)
        count = 0;
    if (master->is_stopping)
        answer_text(client, false, "the server is stopping");
    else if (slots_scale(master->slots, (uint32_t)count, &fault) < 0)
        answer_text(client, false, "%s", fault.text);
    else
        answer_text(client, true, "workers: %u", (uint32_t)count);
}

static void answer_status(struct master *master, struct control_client *client, const char *what)
{
    struct buf text = {0};
    struct status_source source = {master->config,     master->sockets,
                                   master->slots,      master->reload,
                                   master->started_ms, certificates_list(master->certificates)};
    if (strcmp(what, "ps") == 0)
        status_write_ps(&source, &text);
    else if (strcmp(what, "routes") == 0)
        status_write_routes(reload_report(master->reload), client->is_json, &text);
    else
        status_write(&source, client->is_json, &text);
    control_answer(client, true, buf_str(&text));
    buf_deinit(&text);
}

void requests_listing_done(void *data)
{
    struct master *master = data;
    struct control_client *next;
    if (master->control == NULL)
        return;
    for (struct control_client *client = control_next(master->control, NULL); client != NULL;
         client = next) {
        next = control_next(master->control, client);
        if (client->waits_for_listing)
            answer_status(master, client, "ps");
    }
}

void requests_upgrade_done(void *data, bool is_proved, const char *text)
{
    struct master *master = data;
    struct control_client *next;
    for (struct control_client *client =
             master->control != NULL ? control_next(master->control, NULL) : NULL;
         client != NULL; client = next) {
        next = control_next(master->control, client);
        if (client->waits_for_upgrade)
            answer_text(client, is_proved, "%s", text);
    }
}

/* One that is refused at once is no news for who waits for another. */
static void on_upgrade_request(struct master *master, struct control_client *client)
{
    struct fault fault = {0};
    if (succession_start(master, &fault))
        client->waits_for_upgrade = true;
    else
        answer_text(client, false, "%s", fault.text);
}

void requests_answer(void *data, struct control_client *client, const char *const *words,
                     size_t nwords)
{
    struct master *master = data;
    const char *command = nwords > 0 ? words[0] : "";
    if (strcmp(command, "status") == 0 || strcmp(command, "routes") == 0) {
        answer_status(master, client, command);
    } else if (strcmp(command, "ps") == 0) {
        client->waits_for_listing = true;
        listing_start(master->listing);
    } else if (strcmp(command, "reload") == 0) {
        on_reload_request(master, client, nwords > 1 && strcmp(words[1], "wait") == 0);
    } else if (strcmp(command, "restart") == 0) {
        on_restart_request(master, client, nwords > 1 && strcmp(words[1], "wait") == 0);
    } else if (strcmp(command, "upgrade") == 0) {
        on_upgrade_request(master, client);
    } else if (strcmp(command, "scale") == 0 && nwords > 1) {
        on_scale_request(master, client, words[1]);
    } else if (strcmp(command, "stop") == 0) {
        client->waits_for_end = true;
        answer_text(client, true, "stopped");
        log_info("asked to stop over the control socket");
        if (!master->is_stopping)
            master_stop(master);
    } else {
        answer_text(client, false, "the server does not know \"%s\"; is it of another version?",
                    command);
    }
}
