/*
 * offload_state.h - the inside of a pool, for the two files that are one: offload.c on the loop's
 * side, offload_thread.c on the other. Private to this room.
 */
#pragma once

#include "loop/offload.h"
#include "loop/timer.h"

#include <pthread.h>
#include <uv.h>

struct offload_thread {
    struct link link; /* in pool->threads */
    struct offload *pool;
    pthread_t id;
    void *state;             /* what kind->open gave */
    struct offload_job *job; /* runs now */
    uint64_t cancelled_ms;   /* since then its job runs on although it was cancelled; 0: not so */
    bool is_lost;            /* detached; not counted in nthreads any more */
    bool has_ended;
};

struct offload {
    struct offload *next; /* of the same loop */
    struct loop *loop;
    char *name;
    const struct offload_kind *kind;
    void *data;
    uint32_t size;
    uint32_t max_waiting;
    uv_async_t ended_handle; /* keeps the loop alive while jobs are out */
    struct timer sweep;      /* looks for lost threads */
    uint32_t nout;           /* jobs whose on_done is awaited; the loop's thread only */
    uint32_t nusers;         /* the loop's thread only */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work;
    pthread_cond_t gone;
    struct link queue;
    struct link ended;
    struct link posted; /* jobs that run, or have just ended, with messages for the loop */
    struct link threads;
    uint32_t nwaiting;
    uint32_t nidle;
    uint32_t nbusy;    /* without the lost ones */
    uint32_t nthreads; /* without the lost ones */
    uint32_t nlost;
    uint32_t nrefs; /* the loop's, and one for each thread */
    struct offload_stats totals;
    bool is_settling; /* offloads_settle waits on `gone` */
    bool is_stopping; /* takes no jobs; threads end */
};

uint64_t offload_now_ns(void);
/* With the lock held. 0 or -errno; 0 also when no thread is needed or more are not allowed. */
int offload_start_thread_if_needed(struct offload *pool);
/* With the lock held; gives it back. */
void offload_unref_and_unlock(struct offload *pool);
