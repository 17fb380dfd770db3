/*
 * offload.h - pools of OS threads beside one loop: jobs go out through a bounded queue and come
 * back to the loop's thread in batches; while they run, they can send messages ahead.
 *
 * Knows nothing of what a job does: that is the pool's kind (a Lua VM on the thread, a child
 * process that the thread drives). All functions are for the loop's thread, except those that say
 * otherwise. Locks and atomics live here and in parent_link.c, nowhere else in this
 * room.
 *
 * A thread whose job was cancelled and still runs after OFFLOAD_LOST_MS is given up: it is counted
 * as lost, logged, and replaced, so that the pool keeps its size. It ends when its job does after
 * all. At most as many threads as the pool has are lost at a time; beyond that the pool shrinks.
 */
#pragma once

#include "base/list.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct offload;

enum {
    OFFLOAD_LABEL_BYTES = 96,
    OFFLOAD_LOST_MS = 2000,
    OFFLOAD_STOP_MS = 500,           /* so long offload_free waits for busy threads */
    OFFLOAD_STACK_BYTES = 160 << 20, /* address space; memory only when it is used */
};

enum offload_state { OFFLOAD_IDLE, OFFLOAD_QUEUED, OFFLOAD_RUNNING, OFFLOAD_ENDED };
enum offload_outcome { OFFLOAD_GOOD, OFFLOAD_FAILED, OFFLOAD_CRASHED };

struct offload_job {
    /* On the loop's thread, once the job has ended: it is the owner's again. */
    void (*on_done)(struct offload_job *job);
    /* On the loop's thread, before on_done: what offload_post has brought, oldest first, and how
     * many had to make room. Takes all of the list. */
    void (*on_post)(struct offload_job *job, struct link *messages, uint32_t ndropped);
    /* Frees it, its messages included, when the pool goes away before anybody can hear of its end.
     * On any thread. */
    void (*drop)(struct offload_job *job);
    char label[OFFLOAD_LABEL_BYTES]; /* what it is, for the log: "apps/a.lua:12" */
    uint8_t outcome;  /* enum offload_outcome: kind->run says it, for the statistics; and these: */
    int8_t processes; /* started for it, less those that have ended */
    bool was_killed;  /* with its process, because it did not end when it was cancelled */

    struct offload *pool; /* the rest is the pool's */
    struct link link;
    struct link posted;   /* in pool->posted while messages wait for the loop */
    struct link messages; /* under the pool's lock */
    uint32_t nmessages;
    uint32_t ndropped;
    uint64_t submitted_ns;
    uint64_t began_ns;
    uint8_t state; /* enum offload_state; under the pool's lock */
    bool is_lost;  /* its thread was given up */
    atomic_bool is_cancelled;
};

/* What the threads of a pool do. */
struct offload_kind {
    const char *name; /* "thread", "process" */
    /* On the new thread: what it keeps from job to job. */
    void *(*open)(void *data);
    /* Runs a job to its end, however it ends, and says its outcome. Meanwhile it may offload_post.
     */
    void (*run)(void *state, struct offload_job *job);
    void (*close)(void *state);
    /* From the loop's thread, while `state` runs a job that was just cancelled: ends its waiting.
     * Under the pool's lock: it must not block. */
    void (*wake)(void *state);
};

struct offload_stats {
    uint32_t size;    /* threads that there may be */
    uint32_t threads; /* that there are; they start with the first jobs */
    uint32_t busy;
    uint32_t waiting; /* jobs in the queue */
    uint32_t queue;   /* that may wait */
    uint32_t lost;    /* threads given up whose job still runs */
    uint64_t jobs;    /* ended, ever; failed and crashed among them */
    uint64_t failed;
    uint64_t crashed;
    uint32_t processes; /* that there are; see process_vm.h */
    uint64_t killed;    /* jobs, with their process */
    uint64_t wait_ns;   /* from submit to begin, all jobs that have ended */
    uint64_t max_wait_ns;
    uint64_t run_ns;
    uint64_t max_run_ns;
};

/* `max_waiting` jobs may wait for a thread, beside those for which one is free. `kind` and `data`
 * are borrowed. The pool has one user, and ends with the last; see offload_unref. */
struct offload *offload_new(struct loop *loop, const char *name, uint32_t size,
                            uint32_t max_waiting, const struct offload_kind *kind, void *data);
struct offload *offload_ref(struct offload *pool);
/* After the last user's, as soon as no job is out, its threads end; nothing waits for them. */
void offload_unref(struct offload *pool);
/* One that is like that, "" among the names; NULL: none. */
struct offload *offload_find(struct loop *loop, const char *name, uint32_t size,
                             uint32_t max_waiting, const struct offload_kind *kind);
/* 0: it will be on_done's or drop's. -EAGAIN: as many jobs wait as may; another -errno: no thread
 * could be started. */
int offload_submit(struct offload *pool, struct offload_job *job);
/* True: it had not begun, is out of the queue, and the owner's again. False: it runs on, or has
 * ended; on_done is still to come. */
bool offload_cancel(struct offload_job *job);
/* On any thread. */
bool offload_is_cancelled(struct offload_job *job);
/* On the thread that runs the job: a message for on_post. With `limit` of them waiting the oldest
 * makes room: the answer, which is the caller's; else NULL. */
struct link *offload_post(struct offload_job *job, struct link *message, uint32_t limit);
struct offload_stats offload_stats(struct offload *pool);
const char *offload_name(const struct offload *pool);
const struct offload_kind *offload_kind_of(const struct offload *pool);
/* Waits until no thread of the loop's pools runs a job, OFFLOAD_STOP_MS at most. False: one does.
 */
bool offloads_settle(struct loop *loop);
/* For loop_free: stops every pool of the loop. Waits OFFLOAD_STOP_MS at most, for all of them;
 * threads that are busy longer are left behind. */
void offloads_free(struct loop *loop);
uint32_t offloads_count(const struct loop *loop);

/*
 * What the jobs of one origin share, for as long as one of them, or a thread that was set up for
 * them, is alive: the owner's data, and numbered bytes that threads fetch once instead of getting
 * them with every job. On any thread, all of them.
 */
struct offload_origin;

enum { OFFLOAD_MAX_BLOBS = 10000 };

struct offload_origin *offload_origin_new(void *data, void (*free_data)(void *data));
struct offload_origin *offload_origin_ref(struct offload_origin *origin);
void offload_origin_unref(struct offload_origin *origin); /* NULL is fine */
void *offload_origin_data(const struct offload_origin *origin);
/* Its number, from 1; 0 when OFFLOAD_MAX_BLOBS are there already. */
uint32_t offload_origin_put(struct offload_origin *origin, struct str bytes);
/* Borrowed from the origin, never moved. Empty for a number that was not given. */
struct str offload_origin_get(struct offload_origin *origin, uint32_t number);
