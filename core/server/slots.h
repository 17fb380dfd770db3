/*
 * slots.h - the worker slots: forks, reaps, restarts with back-off, replaces and scales.
 *
 * A slot is a place with listening sockets of its own and, most of the time, one worker that serves
 * them. While a worker is being replaced its successor boots beside it, and the old one drains only
 * after the new one serves. Policy about code is elsewhere: what a worker boots from and when it
 * may commit is asked through struct slots_events.
 */
#pragma once

#include "base/config.h"
#include "base/fault.h"
#include "server/child.h"
#include "server/listen_sockets.h"
#include "server/privileges.h"
#include "server/report.h"
#include "server/worker.h"

#include <stdbool.h>
#include <stdint.h>

enum { SLOTS_CRASH_BYTES = 384 };

struct handover;
struct note;

struct slots_events {
    /* In the new process: close what belongs to the master. */
    void (*on_fork)(void *data);
    /* Before a fork: fill in snapshot_fd and generation. */
    void (*fill_boot)(void *data, struct worker_boot *boot);
    /* A worker has built a generation. Takes the report over. */
    void (*on_prepared)(void *data, struct child *child, uint64_t number, struct report *report);
    /* A worker has told what is under way in it; the note's descriptor stays the caller's. */
    void (*on_listed)(void *data, struct child *child, const struct note *note);
    /* A worker has ended, and nobody outside had a hand in it; on_gone follows. */
    void (*on_crash)(void *data, const struct child *child, const char *why);
    /* A worker has ended; `child` is freed after this. `why`: "killed by SIGSEGV ...". */
    void (*on_gone)(void *data, const struct child *child, const char *why);
    /* Before on_gone: a worker that a roll has started, or that its slot needs, could not boot. */
    void (*on_roll_failed)(void *data, const struct child *child, const char *why);
    /* A child answers its first commit: it serves. */
    void (*on_serving)(void *data, struct child *child);
    /* All are gone after slots_stop. */
    void (*on_empty)(void *data);
};

struct slots_options {
    struct master_loop *loop;
    struct scoreboard *board;
    struct mailbox *mailbox;         /* NULL: none */
    bool has_former_mailbox;         /* former workers use it as well, each in its seat */
    struct address_table *addresses; /* NULL: none */
    struct listen_sockets *sockets;
    const struct privileges *privileges;
    const struct slots_events *events;
    void *data; /* for the events */
};

/* All in `options` is borrowed; the loop outlives the slots. */
struct slots *slots_new(const struct config *config, const struct slots_options *options);
void slots_free(struct slots *slots);
/* Takes the workers of our predecessor over: each has a place until its successor serves. Before
 * slots_start. */
void slots_adopt(struct slots *slots, struct handover *handover);
/* Puts all there. */
void slots_hand_over(struct slots *slots, struct handover *handover);
/* Forks the first workers. */
void slots_start(struct slots *slots);
/* After SIGCHLD. */
void slots_reap(struct slots *slots);
/* How many workers there shall be. 0, or -errno with the reason. */
int slots_scale(struct slots *slots, uint32_t nworkers, struct fault *fault);
uint32_t slots_wanted(const struct slots *slots);
/* For the workers that are forked from now on. */
void slots_use_config(struct slots *slots, const struct config *config);
/* Replaces every worker, one slot after the other. When a successor cannot boot: is the roll given
 * up, so that who is left goes on, or tried again every second? */
enum slots_roll { SLOTS_TRY, SLOTS_INSIST };
void slots_roll(struct slots *slots, enum slots_roll how);
/* Whether the one that is under way would be tried again. */
bool slots_is_insisting(const struct slots *slots);
/* How many have not been replaced yet. */
uint32_t slots_left_to_roll(const struct slots *slots);
bool slots_is_rolling(const struct slots *slots);
/* Tells a worker to switch to a generation; the first time it begins to serve. */
void slots_commit(struct slots *slots, struct child *child, uint64_t number);
/* Workers that crash at boot are tried again at once: the code is new. */
void slots_forgive(struct slots *slots);
void slots_reopen_logs(struct slots *slots);
/* `fd`: a payload, borrowed. Workers to come take it from on fill_boot. */
void slots_use_certificates(struct slots *slots, int fd);
void slots_stop(struct slots *slots);
void slots_kill(struct slots *slots);

/* Iteration over all workers, NULL to begin and at the end. */
struct child *slots_next(struct slots *slots, struct child *after);
/* Workers that died unasked since the start. */
uint64_t slots_crashes(const struct slots *slots);
/* The last of them that ended by itself, for people; NULL: none. When: as master_now_ms. */
const char *slots_last_crash(const struct slots *slots, uint64_t *when_ms);
