/*
 * SIGUSR2 in the master: what it leaves when it becomes another program, and what it finds when it
 * is that program. upgrade.h proves and executes, handover.h carries.
 */
#include "base/log.h"
#include "base/mem.h"
#include "server/handover.h"
#include "server/master_state.h"
#include "server/retreat.h"
#include "server/shared_dict.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what was found ---- */

static bool is_among(char *const *texts, uint32_t count, const char *text)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(texts[i], text) == 0)
            return true;
    return false;
}

/* Replaces one list of addresses by those of it that are open. False when they are not the same. */
static bool use_open(const struct handover *handover, bool is_for_redirects,
                     char *binds[CONFIG_MAX_BINDS], uint32_t *nbinds)
{
    char *open[CONFIG_MAX_BINDS] = {NULL};
    uint32_t nopen = 0;
    bool is_same = true, is_redirect;
    for (uint32_t i = 0; i < handover_nsockets(handover); i++) {
        const char *text = handover_bind_text(handover_socket(handover, i)->bind, &is_redirect);
        if (is_redirect != is_for_redirects)
            continue;
        is_same = is_same && is_among(binds, *nbinds, text);
        if (!is_among(open, nopen, text) && nopen < CONFIG_MAX_BINDS)
            open[nopen++] = mem_copy_text(text);
    }
    is_same = is_same && nopen == *nbinds;
    for (uint32_t i = 0; i < *nbinds; i++)
        free(binds[i]);
    memcpy(binds, open, nopen * sizeof(*open));
    *nbinds = nopen;
    return is_same;
}

/* The sockets that are open stay: their workers still serve them. */
void succession_use_binds(const struct handover *handover, struct config *config)
{
    bool is_same = use_open(handover, false, config->binds, &config->nbinds);
    is_same &= use_open(handover, true, config->redirect_binds, &config->nredirect_binds);
    if (!is_same)
        log_warn("bind, redirect_bind and proxy_protocol change only with a restart of the server");
}

struct mailbox *succession_take_mailbox(struct handover *handover, uint32_t nseats)
{
    struct mailbox *mailbox = NULL;
    if (handover == NULL)
        return NULL;
    if (handover->mailbox_fd >= 0)
        mailbox = mailbox_adopt(handover->mailbox_fd, nseats);
    handover->mailbox_fd = -1;
    if (mailbox == NULL)
        log_warn("topics do not pass between the former workers and the new ones: the two programs "
                 "keep them differently");
    return mailbox;
}

/* ---- what is left ---- */

static struct handover *pack(struct master *master)
{
    struct handover *handover = handover_new();
    const char *shared_path = shared_dict_own_path(master->config);
    handover->binary = mem_copy_text(upgrade_binary(master->upgrade));
    handover->started_ms = master->started_ms;
    handover->generation = reload_last_number(master->reload);
    handover->configured = master->config->workers;
    handover->wanted = slots_wanted(master->slots);
    handover->shared_path = shared_path != NULL ? mem_copy_text(shared_path) : NULL;
    handover->mailbox_fd = master->mailbox != NULL ? mailbox_fd(master->mailbox) : -1;
    control_hand_over(master->control, handover);
    listen_sockets_hand_over(master->sockets, handover);
    slots_hand_over(master->slots, handover);
    return handover;
}

static void on_proved(void *data)
{
    struct master *master = data;
    if (master->is_stopping)
        return;
    char text[128];
    snprintf(text, sizeof(text), "upgrading: process %d goes on as the new program", (int)getpid());
    requests_upgrade_done(master, true, text);
    notify_reloading(master->notify);
    struct handover *handover = pack(master);
    retreat_end(); /* who comes has one of its own, to us */
    int status = handover_leave(handover, upgrade_own_fd(master->upgrade));
    log_info("the upgrade begins: %s is executed in this process", upgrade_binary(master->upgrade));
    int here = master_enter_start_dir(master);
    if (status == 0)
        status = upgrade_execute(master->upgrade);
    log_error("the upgrade has failed, the server goes on as it was: %s: %s",
              upgrade_binary(master->upgrade), strerror(-status));
    master_leave_start_dir(here);
    handover_withdraw(handover);
    master_tell_ready(master);
    handover_forget(handover);
}

static void on_refused(void *data, const char *reason)
{
    struct master *master = data;
    struct buf text = {0};
    buf_printf(&text, "the upgrade was refused, the server goes on as it was: %s: %s",
               upgrade_binary(master->upgrade), reason);
    buf_add_char(&text, '\0');
    log_error("%s", text.ptr);
    requests_upgrade_done(master, false, text.ptr);
    buf_deinit(&text);
}

static const struct upgrade_events upgrade_events = {on_proved, on_refused};

bool succession_start(struct master *master, struct fault *fault)
{
    struct fault reason = {0};
    int here = master_enter_start_dir(master); /* where the proof reads what we have read */
    if (master->is_stopping)
        fault_set(&reason, "the server is stopping");
    else if (master->background != NULL) /* somebody waits to hear whether it starts */
        fault_set(&reason, "the server has not started yet: try again when it serves");
    else if (master->is_succeeding)
        fault_set(&reason, "the one before this is not done yet: try again when it is");
    else if (upgrade_start(master->upgrade, &reason))
        log_info("asked to upgrade: %s shows whether it can", upgrade_binary(master->upgrade));
    master_leave_start_dir(here);
    if (!reason.is_set)
        return true;
    fault_set(fault, "the upgrade was refused: %s", reason.text);
    log_error("%s", fault->text);
    return false;
}

/* ---- in the program that the master has become ---- */

static void log_failure(int cause)
{
    if (cause == 0)
        log_error(
            "the upgrade has failed: the new program could not start (what it complained of is "
            "in the log before this, or on standard error); this one goes on");
    else if (cause == RETREAT_EXITED)
        log_error("the upgrade has failed: the new program ended; this one goes on");
    else if (cause == SIGALRM)
        log_error("the upgrade has failed: the new program hung; this one goes on");
    else
        log_error("the upgrade has failed: the new program crashed: SIG%s (%s); this one goes on",
                  sigabbrev_np(cause), strsignal(cause));
}

static void follow(void *data)
{
    struct handover *handover = pack(data);
    retreat_keep(handover);
    handover_forget(handover);
}

static void on_probation_over(struct master_timer *timer)
{
    struct master *master = LIST_ENTRY(timer, struct master, probation);
    retreat_end();
    master_loop_use_follower(master->loop, NULL, NULL);
}

void succession_settle(struct master *master)
{
    if (retreat_is_armed()) {
        follow(master);
        master_loop_use_follower(master->loop, follow, master);
    }
    handover_settle();
}

void succession_begin(struct master *master)
{
    struct handover *handover = master->handover;
    master->upgrade =
        upgrade_new(master->loop, master->source.argv, handover != NULL ? handover->binary : NULL,
                    &upgrade_events, master);
    if (handover == NULL)
        return;
    if (handover->failures != 0)
        log_failure(handover->cause);
    master->is_succeeding = true;
    master->has_returned = handover->failures != 0;
    master->former_workers = handover->configured;
    slots_adopt(master->slots, handover);
}

void succession_end(struct master *master)
{
    struct fault fault = {0};
    master->is_succeeding = false;
    master_timer_start(master->loop, &master->probation, RETREAT_MS, on_probation_over);
    log_info("%s: moonloop %s serves with %u worker%s",
             master->has_returned ? "the server is as it was" : "the upgrade is done",
             MOONLOOP_VERSION, slots_wanted(master->slots),
             slots_wanted(master->slots) == 1 ? "" : "s");
    if (master->config->workers != master->former_workers &&
        slots_scale(master->slots, master->config->workers, &fault) < 0)
        log_error("%s", fault.text);
}
