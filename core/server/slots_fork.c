/*
 * Births: a slot gets its worker, by a fork without exec. What is the master's alone is closed in
 * the child before any worker code runs.
 */
#include "server/slots_state.h"

#include "base/log.h"
#include "base/mem.h"
#include "server/sandbox.h"
#include "server/worker_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FORK_AGAIN_MS = 1000 };

/* A place in the scoreboard that nobody writes. There are twice as many as workers at most. */
struct scoreboard_slot *slots_take_seat(struct slots *slots, uint32_t *number)
{
    uint32_t count = scoreboard_count(slots->options.board);
    for (uint32_t i = 0; i < count; i++) {
        struct scoreboard_slot *seat = scoreboard_slot(slots->options.board, i);
        bool is_taken = false;
        for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;)
            is_taken = is_taken || child->seat == seat;
        *number = i;
        if (!is_taken)
            return seat;
    }
    return NULL;
}

static void reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; the master tells us */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void run_worker(struct slots *slots, uint32_t index, int fd, struct worker_boot *boot)
    __attribute__((noreturn));

static void run_worker(struct slots *slots, uint32_t index, int fd, struct worker_boot *boot)
{
    static char role[32];
    snprintf(role, sizeof(role), "worker %u", index + 1);
    log_set_role(role);
    for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;)
        close(child->watch.fd);
    boot->snapshot_fd =
        fcntl(boot->snapshot_fd, F_DUPFD_CLOEXEC, 3); /* the master's goes with all */
    slots->options.events->on_fork(slots->options.data);
    listen_sockets_keep_slot(slots->options.sockets, index);
    reset_signals();
    worker_memory_volunteer();
    if (!privileges_take(slots->options.privileges)) {
        log_error("cannot become user %s: %s", slots->config->user, strerror(errno));
        exit(WORKER_EXIT_BOOT);
    }
    if (!sandbox_enter(slots->config)) {
        log_error("the sandbox cannot be entered: %s; --no-sandbox goes without it",
                  strerror(errno));
        exit(WORKER_EXIT_BOOT);
    }
    boot->master_fd = fd;
    exit(worker_run(boot));
}

struct child *slots_add_child(struct slots *slots, uint32_t index, pid_t pid, int fd,
                              struct scoreboard_slot *seat, uint32_t seat_number)
{
    struct child *child = MEM_NEW(struct child);
    child->slots = slots;
    child->slot = index;
    child->pid = pid;
    child->seat = seat;
    child->seat_number = seat_number;
    child->started_ms = master_now_ms();
    master_timer_init(&child->kill);
    master_watch_init(&child->watch);
    master_watch_start(slots->options.loop, &child->watch, fd, slots_on_ready);
    child->watch.fd = fd;
    link_append(&slots->children, &child->link);
    return child;
}

/* Into `current` when that is free, else as its successor. */
void slot_fork(struct slots *slots, uint32_t index)
{
    struct slot *slot = &slots->slot[index];
    int pair[2] = {-1, -1};
    uint32_t seat_number = 0;
    struct scoreboard_slot *seat = slots_take_seat(slots, &seat_number);
    if (seat == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        goto fail;
    scoreboard_slot_clear(seat);
    atomic_store(&seat->beat_ms, master_now_ms());
    atomic_store(&seat->started_ms, master_now_ms());
    struct worker_boot boot = {
        .config = slots->config,
        .board = slots->options.board,
        .slot = seat,
        .mailbox = slots->options.mailbox,
        .addresses = slots->options.addresses,
        .seat = seat_number,
        .number = index + 1,
        .listen_fds = listen_sockets_of_slot(slots->options.sockets, index),
        .nlisten_fds = listen_sockets_count(slots->options.sockets),
        .listen_services = listen_sockets_services(slots->options.sockets),
        .tls_fd = -1,
    };
    slots->options.events->fill_boot(slots->options.data, &boot);
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        goto fail;
    if (pid == 0) {
        close(pair[0]);
        run_worker(slots, index, pair[1], &boot);
    }
    close(pair[1]);
    struct child *child = slots_add_child(slots, index, pid, pair[0], seat, seat_number);
    child->keeps_seat = true;
    atomic_store(&seat->pid, (int32_t)pid);
    if (slot->current == NULL)
        slot->current = child;
    else
        slot->successor = child;
    return;

fail:
    log_error("cannot start worker %u: %s; trying again", index + 1,
              seat == NULL ? "no place in the scoreboard" : strerror(errno));
    if (pair[0] >= 0) {
        close(pair[0]);
        close(pair[1]);
    }
    slot_fork_later(slot, FORK_AGAIN_MS);
}

static void on_respawn_due(struct master_timer *timer)
{
    struct slot *slot = LIST_ENTRY(timer, struct slot, respawn);
    uint32_t index = (uint32_t)(slot - slot->slots->slot);
    bool needs_one = slot->current == NULL || slot->current->is_recycling || slot->is_rolling;
    if (!slot->is_retired && !slot->slots->is_stopping && needs_one && slot->successor == NULL)
        slot_fork(slot->slots, index);
}

void slot_fork_later(struct slot *slot, uint64_t delay_ms)
{
    master_timer_start(slot->slots->options.loop, &slot->respawn, delay_ms, on_respawn_due);
}
