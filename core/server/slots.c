#include "server/slots_state.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/payload.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { KILL_EXTRA_MS = 1000 }; /* a worker ends itself at graceful_timeout; after that we do */

static void continue_roll(struct slots *slots);

struct slots *slots_new(const struct config *config, const struct slots_options *options)
{
    struct slots *slots = MEM_NEW(struct slots);
    slots->options = *options;
    slots->config = config;
    oom_kills_init(&slots->oom_kills);
    link_init(&slots->children);
    master_timer_init(&slots->look);
    for (uint32_t i = 0; i < CONFIG_MAX_WORKERS; i++) {
        slots->slot[i].slots = slots;
        slots->slot[i].is_retired = true;
        master_timer_init(&slots->slot[i].respawn);
    }
    return slots;
}

void slots_free(struct slots *slots)
{
    if (slots == NULL)
        return;
    while (!link_is_alone(&slots->children))
        child_free(LIST_ENTRY(slots->children.next, struct child, link));
    for (uint32_t i = 0; i < CONFIG_MAX_WORKERS; i++)
        master_timer_stop(&slots->slot[i].respawn);
    master_timer_stop(&slots->look);
    free(slots);
}

struct child *slots_next(struct slots *slots, struct child *after)
{
    struct link *next = after != NULL ? after->link.next : slots->children.next;
    return next != &slots->children ? LIST_ENTRY(next, struct child, link) : NULL;
}

uint32_t slots_wanted(const struct slots *slots)
{
    return slots->wanted;
}

uint64_t slots_crashes(const struct slots *slots)
{
    return slots->crashes;
}

const char *slots_last_crash(const struct slots *slots, uint64_t *when_ms)
{
    *when_ms = slots->last_crash_ms;
    return slots->last_crash_ms != 0 ? slots->last_crash : NULL;
}

static void on_kill_due(struct master_timer *timer)
{
    child_kill(LIST_ENTRY(timer, struct child, kill), "did not leave within graceful_timeout");
}

void slots_await_end(struct child *child)
{
    child->state = CHILD_DRAINING;
    master_timer_start(child->slots->options.loop, &child->kill,
                       child->slots->config->graceful_timeout_ms + KILL_EXTRA_MS, on_kill_due);
}

static void drain(struct child *child, enum note_type how, bool is_restart)
{
    if (child->state == CHILD_DRAINING)
        return;
    child_tell(child, how, is_restart, -1);
    slots_await_end(child);
}

static void replace(struct slots *slots, uint32_t index)
{
    if (slots->slot[index].successor == NULL && !slots->is_stopping)
        slot_fork(slots, index);
}

/* It was told to go by somebody else (`kill PID`): its place is free now. */
static void on_leaving(struct child *child)
{
    struct slots *slots = child->slots;
    struct slot *slot = &slots->slot[child->slot];
    if (child->state == CHILD_DRAINING)
        return;
    log_info("worker %u (pid %d) was told to leave", child_number(child), (int)child->pid);
    slots_await_end(child);
    if (slot->successor == child) {
        slot->successor = NULL;
        slot_fork_later(slot, 0); /* if it is still wanted */
    }
    if (slot->current != child)
        return;
    slot->current = slot->successor;
    slot->successor = NULL;
    if (slot->current == NULL && !slot->is_retired && !slots->is_stopping)
        slot_fork(slots, child->slot);
}

static void on_recycle(struct child *child, uint32_t reason)
{
    static const char *const texts[] = {
        [RECYCLE_REQUESTS] = "has reached max_requests",
        [RECYCLE_MEMORY] = "has reached max_memory",
        [RECYCLE_HELPER] = "can start no programs any more",
    };
    bool is_known = reason < sizeof(texts) / sizeof(*texts) && texts[reason] != NULL;
    log_info("worker %u (pid %d) %s: replacing it", child_number(child), (int)child->pid,
             is_known ? texts[reason] : "asks for a successor");
    child->is_recycling = true;
    if (child->slots->slot[child->slot].current == child)
        replace(child->slots, child->slot);
}

static void on_prepared(struct child *child, const struct note *note)
{
    const struct slots_options *options = &child->slots->options;
    struct buf bytes = {0};
    int status = note->fd >= 0 ? payload_read(note->fd, &bytes) : -EBADMSG;
    struct report *report = status == 0 ? report_decode(&bytes) : NULL;
    buf_deinit(&bytes);
    if (report == NULL) {
        child_kill(child, "sent a report that cannot be read");
        return;
    }
    child->prepared = note->number;
    options->events->on_prepared(options->data, child, note->number, report);
}

void slots_on_note(struct child *child, const struct note *note)
{
    struct slots *slots = child->slots;
    switch (note->type) {
    case NOTE_PREPARED:
        on_prepared(child, note);
        break;
    case NOTE_LISTED:
        slots->options.events->on_listed(slots->options.data, child, note);
        break;
    case NOTE_LEAVING:
        on_leaving(child);
        break;
    case NOTE_RECYCLE:
        on_recycle(child, note->detail);
        break;
    default:
        break;
    }
}

void slots_on_ready(struct master_watch *watch)
{
    struct child *child = LIST_ENTRY(watch, struct child, watch);
    struct note note;
    int status = note_receive(watch->fd, &note);
    if (status == 0) {
        /* Closed: it is ending. The descriptor stays until the wait, but need not be looked at. */
        int fd = watch->fd;
        master_watch_stop(child->slots->options.loop, watch);
        watch->fd = fd;
    } else if (status == 1) {
        slots_on_note(child, &note);
        if (note.fd >= 0)
            close(note.fd);
    }
}

void slots_start(struct slots *slots)
{
    slots->wanted = listen_sockets_nslots(slots->options.sockets);
    for (uint32_t i = 0; i < slots->wanted; i++) {
        slots->slot[i].is_retired = false;
        slot_fork(slots, i);
    }
    slots_look(slots);
}

void slots_commit(struct slots *slots, struct child *child, uint64_t number)
{
    struct slot *slot = &slots->slot[child->slot];
    if (child->state == CHILD_DRAINING)
        return;
    child_tell(child, NOTE_COMMIT, number, -1);
    child->committed = number;
    if (child->state != CHILD_BOOTING)
        return;
    child->state = CHILD_SERVING;
    if (slot->successor == child) {
        struct child *old = slot->current;
        slot->current = child;
        slot->successor = NULL;
        drain(old, NOTE_DRAIN, true);
    }
    slot->is_rolling = false;
    slots->options.events->on_serving(slots->options.data, child);
    continue_roll(slots);
}

/* Nobody new comes to the slot; its worker accepts what had come already, then leaves. */
static void retire(struct slots *slots, uint32_t index)
{
    struct slot *slot = &slots->slot[index];
    slot->is_retired = true;
    slot->is_rolling = false;
    slot->deaths = 0;
    master_timer_stop(&slot->respawn);
    if (slot->successor != NULL)
        drain(slot->successor, NOTE_DRAIN, true);
    if (slot->current != NULL)
        drain(slot->current, NOTE_RETIRE, true);
    slot->current = slot->successor = NULL;
}

int slots_scale(struct slots *slots, uint32_t nworkers, struct fault *fault)
{
    if (nworkers < 1 || nworkers > CONFIG_MAX_WORKERS) {
        fault_set(fault, "workers: expected 1 to %d, got %u", CONFIG_MAX_WORKERS, nworkers);
        return -EINVAL;
    }
    while (listen_sockets_nslots(slots->options.sockets) < nworkers) {
        int status = listen_sockets_add_slot(slots->options.sockets, fault);
        if (status < 0)
            return status;
    }
    uint32_t before = slots->wanted;
    slots->wanted = nworkers;
    if (nworkers < before || slots->is_steered) {
        listen_sockets_steer(slots->options.sockets, nworkers);
        slots->is_steered = true;
    }
    for (uint32_t i = before; i < nworkers; i++) {
        slots->slot[i].is_retired = false;
        if (slots->slot[i].current == NULL)
            slot_fork(slots, i);
    }
    for (uint32_t i = before; i > nworkers; i--)
        retire(slots, i - 1);
    slots_drop_retired(slots);
    if (nworkers != before)
        log_info("workers: %u, were %u", nworkers, before);
    return 0;
}

static void continue_roll(struct slots *slots)
{
    for (uint32_t i = 0; i < slots->wanted; i++)
        if (slots->slot[i].successor != NULL)
            return;
    for (uint32_t i = 0; i < slots->wanted; i++)
        if (slots->slot[i].is_rolling) {
            slot_fork(slots, i);
            return;
        }
}

void slots_use_config(struct slots *slots, const struct config *config)
{
    slots->config = config;
}

void slots_roll(struct slots *slots, enum slots_roll how)
{
    slots->is_insisting = how == SLOTS_INSIST || (slots->is_insisting && slots_is_rolling(slots));
    for (uint32_t i = 0; i < slots->wanted; i++)
        slots->slot[i].is_rolling = true;
    continue_roll(slots);
}

uint32_t slots_left_to_roll(const struct slots *slots)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < slots->wanted; i++)
        count += slots->slot[i].is_rolling;
    return count;
}

bool slots_is_rolling(const struct slots *slots)
{
    return slots_left_to_roll(slots) != 0;
}

bool slots_is_insisting(const struct slots *slots)
{
    return slots->is_insisting;
}

void slots_on_boot_failed(struct slots *slots, const struct child *child, const char *why)
{
    if (!slots->slot[child->slot].is_rolling || slots->is_stopping)
        return;
    slots->options.events->on_roll_failed(slots->options.data, child, why);
    for (uint32_t i = 0; i < slots->wanted && !slots->is_insisting; i++)
        slots->slot[i].is_rolling = false;
}

void slots_forgive(struct slots *slots)
{
    for (uint32_t i = 0; i < slots->wanted; i++) {
        slots->slot[i].deaths = 0;
        if (slots->slot[i].current == NULL && master_timer_is_running(&slots->slot[i].respawn))
            slot_fork_later(&slots->slot[i], 0);
    }
}

void slots_reopen_logs(struct slots *slots)
{
    for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;)
        child_tell(child, NOTE_REOPEN_LOGS, 0, -1);
}

void slots_use_certificates(struct slots *slots, int fd)
{
    for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;)
        child_tell(child, NOTE_CERTIFICATES, 0, fd);
}

void slots_stop(struct slots *slots)
{
    slots->is_stopping = true;
    for (uint32_t i = 0; i < CONFIG_MAX_WORKERS; i++)
        master_timer_stop(&slots->slot[i].respawn);
    for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;)
        if (child->state == CHILD_DRAINING)
            child_tell(child, NOTE_DRAIN, 0, -1); /* one that is being retired: at once now */
        else
            drain(child, NOTE_DRAIN, false);
    if (link_is_alone(&slots->children))
        slots->options.events->on_empty(slots->options.data);
}

void slots_kill(struct slots *slots)
{
    for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;) {
        child->is_doomed = true;
        kill(child->pid, SIGKILL);
    }
}
