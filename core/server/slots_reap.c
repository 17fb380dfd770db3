/*
 * Deaths: who has ended and why, what the slot does about it, and who has to be killed because its
 * loop is stuck.
 */
#include "server/slots_state.h"

#include "base/exit_status.h"
#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    YOUNG_MS = 5000, /* a worker that dies younger than this makes the slot wait */
    BACK_OFF_FIRST_MS = 1000,
    BACK_OFF_MAX_MS = 30000,
    LOOK_MS = 500,        /* how often stuck workers are looked for */
    BEAT_SLACK_MS = 2000, /* a healthy worker's beat is up to a second old, and a little late */
};

/* How a child of ours has ended. */
struct death {
    pid_t pid;
    int status;
    long peak_kilobytes; /* that it had resident at one time */
    bool is_oom;         /* the kernel's choice, when memory ran out */
    char why[EXIT_TEXT_BYTES + OOM_TEXT_BYTES];
};

void child_free(struct child *child)
{
    int fd = child->watch.fd;
    master_watch_stop(child->slots->options.loop, &child->watch);
    master_timer_stop(&child->kill);
    link_remove(&child->link);
    buf_deinit(&child->listed);
    close(fd);
    free(child);
}

static void on_look(struct master_timer *timer);

void slots_look(struct slots *slots)
{
    master_timer_start(slots->options.loop, &slots->look, LOOK_MS, on_look);
}

/* Stuck in one long call into C: the timer that beats every second has not had its turn. */
static void on_look(struct master_timer *timer)
{
    struct slots *slots = LIST_ENTRY(timer, struct slots, look);
    char text[OOM_TEXT_BYTES];
    if (oom_kills_look(&slots->oom_kills, text)) /* a helper, or a program that an app runs */
        log_error("%s", text);
    uint64_t now = master_now_ms(), limit_ms = slots->config->timeout_ms;
    for (struct child *child = NULL; limit_ms != 0 && (child = slots_next(slots, child)) != NULL;) {
        uint64_t beat = atomic_load(&child->seat->beat_ms);
        if (child->is_former || beat + limit_ms + BEAT_SLACK_MS >= now)
            continue;
        char why[96];
        snprintf(why, sizeof(why), "has held its loop for %.1f s (timeout %.1f s)",
                 (double)(now - beat) / 1000, (double)limit_ms / 1000);
        child_kill(child, why);
    }
    slots_look(slots);
}

/* Closes the sockets of slots that were scaled away and have nobody left, from the end. */
void slots_drop_retired(struct slots *slots)
{
    for (;;) {
        uint32_t last = listen_sockets_nslots(slots->options.sockets);
        if (last == 0 || !slots->slot[last - 1].is_retired)
            return;
        for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;)
            if (child->slot == last - 1)
                return;
        listen_sockets_drop_slot(slots->options.sockets);
    }
}

/* Logs why a worker ended. True when nobody had asked it to. */
static bool log_exit(struct slots *slots, const struct child *child, const struct death *death)
{
    struct child_facts facts;
    char peak[32];
    int status = death->status;
    bool is_left = child->state == CHILD_DRAINING && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (is_left || child->is_doomed) {
        log_debug("worker %u (pid %d) has left: %s", child_number(child), (int)child->pid,
                  death->why);
        return child->is_doomed && child->state != CHILD_DRAINING;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_BOOT)
        return true; /* the reason came with its report */
    child_look(child, &facts);
    snprintf(peak, sizeof(peak), "%.1f MB", (double)death->peak_kilobytes / 1024);
    facts.fields[facts.count++] = (struct log_field){"peak", str_of(peak)};
    snprintf(slots->last_crash, sizeof(slots->last_crash), "worker %u (pid %d) died: %s",
             child_number(child), (int)child->pid, death->why);
    slots->last_crash_ms = master_now_ms();
    log_with(LOG_ERROR, facts.fields, facts.count, "%s", slots->last_crash);
    return true;
}

static void refill(struct slots *slots, uint32_t index, bool is_crash, uint64_t age_ms)
{
    struct slot *slot = &slots->slot[index];
    slot->deaths = is_crash && age_ms < YOUNG_MS ? slot->deaths + 1 : 0;
    if (slot->deaths <= 1) {
        slot_fork(slots, index);
        return;
    }
    uint32_t doublings = slot->deaths - 2 < 5 ? slot->deaths - 2 : 5;
    uint64_t delay_ms = (uint64_t)BACK_OFF_FIRST_MS << doublings;
    if (delay_ms > BACK_OFF_MAX_MS)
        delay_ms = BACK_OFF_MAX_MS;
    log_warn("worker %u died %u times in a row just after its start: waiting %.0f s", index + 1,
             slot->deaths, (double)delay_ms / 1000);
    slot_fork_later(slot, delay_ms);
}

static void on_exit_of(struct slots *slots, struct child *child, const struct death *death)
{
    struct note note;
    int status = death->status;
    const char *why = death->why;
    /* What it said last may still wait in the socket. */
    while (note_receive(child->watch.fd, &note) == 1) {
        slots_on_note(child, &note);
        if (note.fd >= 0)
            close(note.fd);
    }
    bool is_crash = log_exit(slots, child, death);
    uint32_t index = child->slot;
    uint64_t age_ms = master_now_ms() - child->started_ms;
    struct slot *slot = &slots->slot[index];
    bool leaves_gap = slot->current == child || slot->successor == child;
    slots->crashes += is_crash;
    bool is_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !child->is_doomed;
    if (is_crash && !is_killed && !child->is_former)
        slots->options.events->on_crash(slots->options.data, child, why);
    if (child->state == CHILD_BOOTING)
        slots_on_boot_failed(slots, child, why);
    if (slot->current == child) {
        slot->current = slot->successor;
        slot->successor = NULL;
    } else if (slot->successor == child) {
        slot->successor = NULL;
    }
    link_remove(&child->link);
    atomic_store(&child->seat->pid, 0);
    if (slots->options.mailbox != NULL && child->keeps_seat)
        mailbox_clear_seat(slots->options.mailbox, child->seat_number);
    if (slots->options.addresses != NULL && !child->is_former)
        address_table_clear_seat(slots->options.addresses, child->seat_number);
    slots->options.events->on_gone(slots->options.data, child, why);
    child_free(child);
    slots_drop_retired(slots);
    if (leaves_gap && slot->current == NULL && !slot->is_retired && !slots->is_stopping)
        refill(slots, index, is_crash, age_ms);
    else if (leaves_gap && slot->current != NULL && slot->successor == NULL && !slots->is_stopping)
        slot_fork_later(slot,
                        BACK_OFF_FIRST_MS); /* the replacement failed: again, if still wanted */
}

/* One that has ended, and is no more after this. False when there is none. */
static bool wait_for_one(struct slots *slots, struct death *death)
{
    char memory[OOM_TEXT_BYTES];
    struct rusage usage = {0};
    siginfo_t info = {0}; /* first only looked at: as long as it is there, so is its cgroup */
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
        return false;
    bool is_killed = info.si_code == CLD_KILLED && info.si_status == SIGKILL;
    death->is_oom = is_killed && oom_kills_explain(&slots->oom_kills, info.si_pid, memory);
    if (wait4(info.si_pid, &death->status, 0, &usage) != info.si_pid)
        return false;
    death->pid = info.si_pid;
    death->peak_kilobytes = usage.ru_maxrss;
    exit_describe(death->status, death->why, EXIT_TEXT_BYTES);
    if (death->is_oom) {
        size_t len = strlen(death->why);
        snprintf(death->why + len, sizeof(death->why) - len, "; %s", memory);
    }
    return true;
}

void slots_reap(struct slots *slots)
{
    struct death death;
    while (wait_for_one(slots, &death)) {
        struct child *child = slots_next(slots, NULL);
        while (child != NULL && child->pid != death.pid)
            child = slots_next(slots, child);
        if (child != NULL)
            on_exit_of(slots, child, &death);
        else if (death.is_oom) /* the proof of an upgrade */
            log_error("process %d died: %s", (int)death.pid, death.why);
    }
    if (slots->is_stopping && link_is_alone(&slots->children))
        slots->options.events->on_empty(slots->options.data);
}
