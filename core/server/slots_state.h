/*
 * slots_state.h - what slots.c (policy), slots_fork.c (births) and slots_reap.c (deaths) share.
 */
#pragma once

#include "server/oom_kills.h"
#include "server/protocol.h"
#include "server/slots.h"

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
    uint64_t last_crash_ms; /* 0: none yet */
    char last_crash[SLOTS_CRASH_BYTES];
    struct oom_kills oom_kills;
    bool is_steered; /* the number of slots has changed once */
    bool is_stopping;
    bool is_insisting; /* while slots roll: SLOTS_INSIST */
};

/* slots.c */
void slots_on_note(struct child *child, const struct note *note);
void slots_on_ready(struct master_watch *watch);
void slots_await_end(struct child *child); /* it knows that it has to leave; else it is killed */

/* A worker has ended that was booting. */
void slots_on_boot_failed(struct slots *slots, const struct child *child, const char *why);

/* slots_fork.c: forks a worker, as `current` when there is none, else as its successor. */
void slot_fork(struct slots *slots, uint32_t index);
/* One that runs already; its end of the pair is `fd`. */
struct child *slots_add_child(struct slots *slots, uint32_t index, pid_t pid, int fd,
                              struct scoreboard_slot *seat, uint32_t seat_number);
struct scoreboard_slot *slots_take_seat(struct slots *slots, uint32_t *number);
/* The same a little later, if one is needed then. */
void slot_fork_later(struct slot *slot, uint64_t delay_ms);

/* slots_reap.c */
void slots_look(struct slots *slots); /* looks for stuck workers, and goes on doing so */
void slots_drop_retired(struct slots *slots);
void child_free(struct child *child);
