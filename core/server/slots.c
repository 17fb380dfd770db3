#include "server/slots.h"

#include "base/log.h"
#include "base/mem.h"
#include "server/protocol.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    YOUNG_MS = 5000, /* a worker that dies younger than this makes the slot wait */
    BACK_OFF_FIRST_MS = 1000,
    BACK_OFF_MAX_MS = 30000,
    LOOK_MS = 500,        /* how often stuck workers are looked for */
    BEAT_SLACK_MS = 2000, /* a healthy worker's beat is up to a second old, and a little late */
    KILL_EXTRA_MS = 1000, /* a worker ends itself at graceful_timeout; after that we do */
    ROUTES_BYTES = 512,
};

struct slot {
    struct slots *slots;
    struct child *current;   /* boots or serves; NULL: waits for `respawn`, or is retired */
    struct child *successor; /* boots beside current */
    struct master_timer respawn;
    uint32_t deaths; /* young ones in a row */
    bool is_retired; /* scaled away; its sockets close with its last worker */
    bool is_rolling; /* its worker has an old configuration */
};

struct slots {
    struct slots_options options;
    const struct config *config;
    struct slot slot[CONFIG_MAX_WORKERS];
    struct link children;
    struct master_timer look;
    uint32_t wanted;
    uint64_t crashes;
    uint64_t oom_kills;
    bool is_steered; /* the number of slots has changed once */
    bool is_stopping;
};

static void fork_worker(struct slots *slots, uint32_t index);
static void continue_roll(struct slots *slots);

struct slots *slots_new(const struct config *config, const struct slots_options *options)
{
    struct slots *slots = MEM_NEW(struct slots);
    slots->options = *options;
    slots->config = config;
    slots->oom_kills = oom_kill_count();
    link_init(&slots->children);
    master_timer_init(&slots->look);
    for (uint32_t i = 0; i < CONFIG_MAX_WORKERS; i++) {
        slots->slot[i].slots = slots;
        slots->slot[i].is_retired = true;
        master_timer_init(&slots->slot[i].respawn);
    }
    return slots;
}

static void child_free(struct child *child)
{
    int fd = child->watch.fd;
    master_watch_stop(child->slots->options.loop, &child->watch);
    master_timer_stop(&child->kill);
    link_remove(&child->link);
    close(fd);
    free(child);
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

/* Stuck in one long call into C: the timer that beats every second has not had its turn. */
static void on_look(struct master_timer *timer)
{
    struct slots *slots = LIST_ENTRY(timer, struct slots, look);
    uint64_t now = master_now_ms(), limit_ms = slots->config->timeout_ms;
    for (struct child *child = NULL; limit_ms != 0 && (child = slots_next(slots, child)) != NULL;) {
        uint64_t beat = atomic_load(&child->seat->beat_ms);
        if (beat + limit_ms + BEAT_SLACK_MS >= now)
            continue;
        char why[96];
        snprintf(why, sizeof(why), "has held its loop for %.1f s (timeout %.1f s)",
                 (double)(now - beat) / 1000, (double)limit_ms / 1000);
        child_kill(child, why);
    }
    master_timer_start(slots->options.loop, timer, LOOK_MS, on_look);
}

static void on_kill_due(struct master_timer *timer)
{
    child_kill(LIST_ENTRY(timer, struct child, kill), "did not leave within graceful_timeout");
}

static void drain(struct child *child, enum note_type how)
{
    if (child->state == CHILD_DRAINING)
        return;
    child->state = CHILD_DRAINING;
    child_tell(child, how, 0, -1);
    master_timer_start(child->slots->options.loop, &child->kill,
                       child->slots->config->graceful_timeout_ms + KILL_EXTRA_MS, on_kill_due);
}

static void replace(struct slots *slots, uint32_t index)
{
    if (slots->slot[index].successor == NULL && !slots->is_stopping)
        fork_worker(slots, index);
}

/* It was told to go by somebody else (`kill PID`): its place is free now. */
static void on_leaving(struct child *child)
{
    struct slots *slots = child->slots;
    struct slot *slot = &slots->slot[child->slot];
    if (child->state == CHILD_DRAINING)
        return;
    log_info("worker %u (pid %d) was told to leave", child_number(child), (int)child->pid);
    child->state = CHILD_DRAINING;
    master_timer_start(slots->options.loop, &child->kill,
                       slots->config->graceful_timeout_ms + KILL_EXTRA_MS, on_kill_due);
    if (slot->successor == child)
        slot->successor = NULL;
    if (slot->current != child)
        return;
    slot->current = slot->successor;
    slot->successor = NULL;
    if (slot->current == NULL && !slot->is_retired && !slots->is_stopping)
        fork_worker(slots, child->slot);
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

static void on_note(struct child *child, const struct note *note)
{
    struct slots *slots = child->slots;
    switch (note->type) {
    case NOTE_PREPARED:
        on_prepared(child, note);
        break;
    case NOTE_LEAVING:
        on_leaving(child);
        break;
    case NOTE_RECYCLE:
        log_info("worker %u (pid %d) has reached %s: replacing it", child_number(child),
                 (int)child->pid, note->detail == RECYCLE_MEMORY ? "max_memory" : "max_requests");
        child->is_recycling = true;
        if (slots->slot[child->slot].current == child)
            replace(slots, child->slot);
        break;
    default:
        break;
    }
}

static void on_ready(struct master_watch *watch)
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
        on_note(child, &note);
        if (note.fd >= 0)
            close(note.fd);
    }
}

/* A place in the scoreboard that nobody writes. There are twice as many as workers at most. */
static struct scoreboard_slot *take_seat(struct slots *slots)
{
    uint32_t count = scoreboard_count(slots->options.board);
    for (uint32_t i = 0; i < count; i++) {
        struct scoreboard_slot *seat = scoreboard_slot(slots->options.board, i);
        bool is_taken = false;
        for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;)
            is_taken = is_taken || child->seat == seat;
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
    slots->options.events->on_fork(slots->options.data);
    listen_sockets_keep_slot(slots->options.sockets, index);
    reset_signals();
    if (!privileges_take(slots->options.privileges)) {
        log_error("cannot become user %s: %s", slots->config->user, strerror(errno));
        exit(WORKER_EXIT_BOOT);
    }
    boot->master_fd = fd;
    exit(worker_run(boot));
}

static void start_respawn(struct slot *slot, uint64_t delay_ms);

static struct child *add_child(struct slots *slots, uint32_t index, int fd)
{
    struct child *child = MEM_NEW(struct child);
    child->slots = slots;
    child->slot = index;
    child->started_ms = master_now_ms();
    master_timer_init(&child->kill);
    master_watch_init(&child->watch);
    master_watch_start(slots->options.loop, &child->watch, fd, on_ready);
    child->watch.fd = fd;
    return child;
}

/* Into `current` when that is free, else as its successor. */
static void fork_worker(struct slots *slots, uint32_t index)
{
    struct slot *slot = &slots->slot[index];
    int pair[2] = {-1, -1};
    struct scoreboard_slot *seat = take_seat(slots);
    if (seat == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        goto fail;
    scoreboard_slot_clear(seat);
    atomic_store(&seat->beat_ms, master_now_ms());
    atomic_store(&seat->started_ms, master_now_ms());
    struct worker_boot boot = {
        .config = slots->config,
        .board = slots->options.board,
        .slot = seat,
        .number = index + 1,
        .listen_fds = listen_sockets_of_slot(slots->options.sockets, index),
        .nlisten_fds = listen_sockets_count(slots->options.sockets),
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
    struct child *child = add_child(slots, index, pair[0]);
    child->pid = pid;
    child->seat = seat;
    atomic_store(&seat->pid, (int32_t)pid);
    link_append(&slots->children, &child->link);
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
    start_respawn(slot, BACK_OFF_FIRST_MS);
}

static void on_respawn_due(struct master_timer *timer)
{
    struct slot *slot = LIST_ENTRY(timer, struct slot, respawn);
    uint32_t index = (uint32_t)(slot - slot->slots->slot);
    bool needs_one = slot->current == NULL || slot->current->is_recycling || slot->is_rolling;
    if (!slot->is_retired && !slot->slots->is_stopping && needs_one && slot->successor == NULL)
        fork_worker(slot->slots, index);
}

static void start_respawn(struct slot *slot, uint64_t delay_ms)
{
    master_timer_start(slot->slots->options.loop, &slot->respawn, delay_ms, on_respawn_due);
}

void slots_start(struct slots *slots)
{
    slots->wanted = listen_sockets_nslots(slots->options.sockets);
    for (uint32_t i = 0; i < slots->wanted; i++) {
        slots->slot[i].is_retired = false;
        fork_worker(slots, i);
    }
    on_look(&slots->look);
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
        drain(old, NOTE_DRAIN);
    }
    slot->is_rolling = false;
    slots->options.events->on_serving(slots->options.data, child);
    continue_roll(slots);
}

/* Closes the sockets of slots that were scaled away and have nobody left, from the end. */
static void drop_retired(struct slots *slots)
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
static bool log_exit(struct slots *slots, struct child *child, int status, const char *why)
{
    char routes[ROUTES_BYTES];
    uint64_t oom_kills = oom_kill_count();
    bool is_oom = oom_kills > slots->oom_kills && WIFSIGNALED(status);
    bool is_left = child->state == CHILD_DRAINING && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    slots->oom_kills = oom_kills;
    if (is_left || child->is_doomed) {
        log_debug("worker %u (pid %d) has left: %s", child_number(child), (int)child->pid, why);
        return child->is_doomed && child->state != CHILD_DRAINING;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_BOOT)
        return true; /* the reason came with its report */
    scoreboard_slot_describe(child->seat, routes, sizeof(routes));
    struct log_field fields[] = {{"routes", str_of(routes)}};
    log_with(LOG_ERROR, fields, 1, "worker %u (pid %d) died: %s%s", child_number(child),
             (int)child->pid, why, is_oom ? "; out of memory: the cgroup's limit was reached" : "");
    return true;
}

static void refill(struct slots *slots, uint32_t index, bool is_crash, uint64_t age_ms)
{
    struct slot *slot = &slots->slot[index];
    slot->deaths = is_crash && age_ms < YOUNG_MS ? slot->deaths + 1 : 0;
    if (slot->deaths <= 1) {
        fork_worker(slots, index);
        return;
    }
    uint32_t doublings = slot->deaths - 2 < 5 ? slot->deaths - 2 : 5;
    uint64_t delay_ms = (uint64_t)BACK_OFF_FIRST_MS << doublings;
    if (delay_ms > BACK_OFF_MAX_MS)
        delay_ms = BACK_OFF_MAX_MS;
    log_warn("worker %u died %u times in a row just after its start: waiting %.0f s", index + 1,
             slot->deaths, (double)delay_ms / 1000);
    start_respawn(slot, delay_ms);
}

static void on_exit_of(struct slots *slots, struct child *child, int status)
{
    struct note note;
    char why[128];
    /* What it said last may still wait in the socket. */
    while (note_receive(child->watch.fd, &note) == 1) {
        on_note(child, &note);
        if (note.fd >= 0)
            close(note.fd);
    }
    exit_describe(status, why, sizeof(why));
    bool is_crash = log_exit(slots, child, status, why);
    uint32_t index = child->slot;
    uint64_t age_ms = master_now_ms() - child->started_ms;
    struct slot *slot = &slots->slot[index];
    bool leaves_gap = slot->current == child || slot->successor == child;
    slots->crashes += is_crash;
    if (slot->current == child) {
        slot->current = slot->successor;
        slot->successor = NULL;
    } else if (slot->successor == child) {
        slot->successor = NULL;
    }
    link_remove(&child->link);
    atomic_store(&child->seat->pid, 0);
    slots->options.events->on_gone(slots->options.data, child, why);
    child_free(child);
    drop_retired(slots);
    if (leaves_gap && slot->current == NULL && !slot->is_retired && !slots->is_stopping)
        refill(slots, index, is_crash, age_ms);
    else if (leaves_gap && slot->current != NULL && slot->successor == NULL && !slots->is_stopping)
        start_respawn(slot, BACK_OFF_FIRST_MS); /* the replacement failed: again, if still wanted */
}

void slots_reap(struct slots *slots)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;)
            if (child->pid == pid) {
                on_exit_of(slots, child, status);
                break;
            }
    if (slots->is_stopping && link_is_alone(&slots->children))
        slots->options.events->on_empty(slots->options.data);
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
        drain(slot->successor, NOTE_DRAIN);
    if (slot->current != NULL)
        drain(slot->current, NOTE_RETIRE);
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
            fork_worker(slots, i);
    }
    for (uint32_t i = before; i > nworkers; i--)
        retire(slots, i - 1);
    drop_retired(slots);
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
            fork_worker(slots, i);
            return;
        }
}

void slots_use_config(struct slots *slots, const struct config *config)
{
    slots->config = config;
}

void slots_roll(struct slots *slots)
{
    for (uint32_t i = 0; i < slots->wanted; i++)
        slots->slot[i].is_rolling = true;
    continue_roll(slots);
}

void slots_forgive(struct slots *slots)
{
    for (uint32_t i = 0; i < slots->wanted; i++) {
        slots->slot[i].deaths = 0;
        if (slots->slot[i].current == NULL && master_timer_is_running(&slots->slot[i].respawn))
            start_respawn(&slots->slot[i], 0);
    }
}

void slots_reopen_logs(struct slots *slots)
{
    for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;)
        child_tell(child, NOTE_REOPEN_LOGS, 0, -1);
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
            drain(child, NOTE_DRAIN);
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
