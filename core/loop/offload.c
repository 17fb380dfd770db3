/*
 * One mutex guards a pool: its queue, its list of ended jobs, its threads. It is held for a few
 * instructions at a time, never while a job runs or a callback is called, except kind->wake.
 */
#include "loop/offload.h"

#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "loop/loop_parts.h"
#include "loop/timer.h"
#include "loop/uv_loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SWEEP_MS = 250 };

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

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work;
    pthread_cond_t gone;
    struct link queue;
    struct link ended;
    struct link threads;
    uint32_t nwaiting;
    uint32_t nidle;
    uint32_t nthreads; /* without the lost ones */
    uint32_t nlost;
    uint32_t nrefs; /* the loop's, and one for each thread */
    uint64_t njobs;
    bool is_stopping;
};

/* ---- life ---- */

/* With the lock held; gives it back. */
static void unref_and_unlock(struct offload *pool)
{
    bool is_last = --pool->nrefs == 0;
    pthread_mutex_unlock(&pool->lock);
    if (!is_last)
        return;
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->gone);
    free(pool->name);
    free(pool);
}

static void drop_all(struct link *jobs)
{
    while (!link_is_alone(jobs)) {
        struct offload_job *job = LIST_ENTRY(jobs->next, struct offload_job, link);
        link_remove(&job->link);
        job->drop(job);
    }
}

/* ---- threads ---- */

/* With the lock held. */
static struct offload_job *take(struct offload *pool)
{
    while (link_is_alone(&pool->queue) && !pool->is_stopping) {
        pool->nidle++;
        pthread_cond_wait(&pool->work, &pool->lock);
        pool->nidle--;
    }
    if (pool->is_stopping)
        return NULL;
    struct offload_job *job = LIST_ENTRY(pool->queue.next, struct offload_job, link);
    link_remove(&job->link);
    pool->nwaiting--;
    job->state = OFFLOAD_RUNNING;
    return job;
}

/* With the lock held. */
static void hand_back(struct offload *pool, struct offload_job *job)
{
    pool->njobs++;
    job->state = OFFLOAD_ENDED;
    if (pool->is_stopping) { /* nobody listens any more */
        pthread_mutex_unlock(&pool->lock);
        job->drop(job);
        pthread_mutex_lock(&pool->lock);
        return;
    }
    bool is_first = link_is_alone(&pool->ended);
    link_append(&pool->ended, &job->link);
    if (is_first)
        uv_async_send(&pool->ended_handle);
}

static void *thread_main(void *arg)
{
    struct offload_thread *self = arg;
    struct offload *pool = self->pool;
    void *state = pool->kind->open(pool->data);
    pthread_mutex_lock(&pool->lock);
    self->state = state;
    while (!self->is_lost && (self->job = take(pool)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        pool->kind->run(state, self->job);
        pthread_mutex_lock(&pool->lock);
        struct offload_job *job = self->job;
        self->job = NULL;
        self->cancelled_ms = 0;
        hand_back(pool, job);
    }
    pthread_mutex_unlock(&pool->lock);
    pool->kind->close(state);
    pthread_mutex_lock(&pool->lock);
    if (self->is_lost) {
        pool->nlost--;
        link_remove(&self->link);
        free(self);
    } else {
        self->has_ended = true;
        pthread_cond_signal(&pool->gone);
    }
    unref_and_unlock(pool);
    return NULL;
}

/* Only faults of its own reach such a thread: no signal that is meant for the loop, SIGPROF above
 * all. */
static int spawn(struct offload_thread *thread)
{
    sigset_t blocked, before;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    sigdelset(&blocked, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, OFFLOAD_STACK_BYTES);
    int status = pthread_create(&thread->id, &attributes, thread_main, thread);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -status;
}

/* With the lock held. 0 or -errno; 0 also when no thread is needed or more are not allowed. */
static int start_thread_if_needed(struct offload *pool)
{
    if (pool->nwaiting <= pool->nidle || pool->nthreads >= pool->size)
        return 0;
    struct offload_thread *thread = MEM_NEW(struct offload_thread);
    thread->pool = pool;
    link_append(&pool->threads, &thread->link);
    pool->nrefs++;
    int status = spawn(thread);
    if (status == 0) {
        pool->nthreads++;
        return 0;
    }
    link_remove(&thread->link);
    pool->nrefs--;
    free(thread);
    return pool->nthreads != 0 ? 0 : status; /* one that is there will get round to it */
}

/* ---- the loop's side ---- */

static void count_out(struct offload *pool, int change)
{
    bool was_out = pool->nout != 0;
    pool->nout += (uint32_t)change;
    if (!was_out && pool->nout != 0)
        uv_ref((uv_handle_t *)&pool->ended_handle);
    else if (was_out && pool->nout == 0)
        uv_unref((uv_handle_t *)&pool->ended_handle);
}

static void on_ended(uv_async_t *handle)
{
    struct offload *pool = handle->data;
    struct link batch;
    link_init(&batch);
    pthread_mutex_lock(&pool->lock);
    if (!link_is_alone(&pool->ended)) {
        batch = pool->ended;
        batch.next->prev = batch.prev->next = &batch;
        link_init(&pool->ended);
    }
    pthread_mutex_unlock(&pool->lock);
    while (!link_is_alone(&batch)) {
        struct offload_job *job = LIST_ENTRY(batch.next, struct offload_job, link);
        link_remove(&job->link);
        if (!job->is_lost)
            count_out(pool, -1);
        job->on_done(job);
    }
}

int offload_submit(struct offload *pool, struct offload_job *job)
{
    int status = -EAGAIN;
    atomic_init(&job->is_cancelled, false);
    job->is_lost = false;
    pthread_mutex_lock(&pool->lock);
    if (pool->nwaiting < pool->max_waiting + pool->nidle) {
        job->state = OFFLOAD_QUEUED;
        link_append(&pool->queue, &job->link);
        pool->nwaiting++;
        if ((status = start_thread_if_needed(pool)) == 0) {
            if (pool->nidle != 0)
                pthread_cond_signal(&pool->work);
        } else {
            link_remove(&job->link);
            pool->nwaiting--;
            job->state = OFFLOAD_IDLE;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    if (status == 0)
        count_out(pool, 1);
    return status;
}

/* With the lock held. */
static void lose(struct offload *pool, struct offload_thread *thread)
{
    thread->is_lost = true;
    thread->job->is_lost = true;
    pthread_detach(thread->id);
    pool->nlost++;
    pool->nthreads--;
    log_warn(
        "an offload thread runs on %d s after its job (%s) was cancelled: a fresh thread takes "
        "its place, %u of at most %u are lost",
        OFFLOAD_LOST_MS / 1000, thread->job->label, pool->nlost, pool->size);
    count_out(pool, -1);
    int status = start_thread_if_needed(pool);
    if (status != 0)
        log_error("cannot start an offload thread: %s", strerror(-status));
}

static void on_sweep(struct timer *timer)
{
    struct offload *pool = LIST_ENTRY(timer, struct offload, sweep);
    uint64_t now_ms = uv_now(loop_uv(pool->loop)); /* threads know no virtual time */
    bool is_more = false;
    pthread_mutex_lock(&pool->lock);
    for (struct link *at = pool->threads.next; at != &pool->threads; at = at->next) {
        struct offload_thread *thread = LIST_ENTRY(at, struct offload_thread, link);
        if (thread->cancelled_ms == 0 || thread->is_lost)
            continue;
        if (now_ms - thread->cancelled_ms >= OFFLOAD_LOST_MS && pool->nlost < pool->size)
            lose(pool, thread);
        else
            is_more = true;
    }
    pthread_mutex_unlock(&pool->lock);
    if (is_more)
        timer_start(pool->loop, &pool->sweep, SWEEP_MS, on_sweep);
}

/* With the lock held. */
static struct offload_thread *thread_of(struct offload *pool, const struct offload_job *job)
{
    for (struct link *at = pool->threads.next; at != &pool->threads; at = at->next) {
        struct offload_thread *thread = LIST_ENTRY(at, struct offload_thread, link);
        if (thread->job == job)
            return thread;
    }
    return NULL;
}

bool offload_cancel(struct offload *pool, struct offload_job *job)
{
    bool was_queued, is_running = false;
    pthread_mutex_lock(&pool->lock);
    was_queued = job->state == OFFLOAD_QUEUED;
    atomic_store(&job->is_cancelled, true);
    if (was_queued) {
        link_remove(&job->link);
        pool->nwaiting--;
        job->state = OFFLOAD_IDLE;
    } else if (job->state == OFFLOAD_RUNNING) {
        struct offload_thread *thread = thread_of(pool, job);
        thread->cancelled_ms = uv_now(loop_uv(pool->loop));
        pool->kind->wake(thread->state);
        is_running = true;
    }
    pthread_mutex_unlock(&pool->lock);
    if (was_queued)
        count_out(pool, -1);
    if (is_running && !timer_is_running(&pool->sweep))
        timer_start(pool->loop, &pool->sweep, SWEEP_MS, on_sweep);
    return was_queued;
}

bool offload_is_cancelled(struct offload_job *job)
{
    return atomic_load_explicit(&job->is_cancelled, memory_order_relaxed);
}

struct offload_stats offload_stats(struct offload *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct offload_stats stats = {pool->size,     pool->nthreads, pool->nthreads - pool->nidle,
                                  pool->nwaiting, pool->nlost,    pool->njobs};
    pthread_mutex_unlock(&pool->lock);
    return stats;
}

struct offload *offload_new(struct loop *loop, const char *name, uint32_t size,
                            uint32_t max_waiting, const struct offload_kind *kind, void *data)
{
    struct offload *pool = MEM_NEW(struct offload), **first = loop_offloads(loop);
    pool->loop = loop;
    pool->name = mem_copy_text(name);
    pool->size = size;
    pool->max_waiting = max_waiting;
    pool->kind = kind;
    pool->data = data;
    pool->nrefs = 1;
    link_init(&pool->queue);
    link_init(&pool->ended);
    link_init(&pool->threads);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->gone, &attributes);
    pthread_condattr_destroy(&attributes);
    ENSURE(uv_async_init(loop_uv(loop), &pool->ended_handle, on_ended) == 0);
    pool->ended_handle.data = pool;
    uv_unref((uv_handle_t *)&pool->ended_handle);
    pool->next = *first;
    *first = pool;
    return pool;
}

struct offload *offload_find(struct loop *loop, const char *name)
{
    struct offload *pool = *loop_offloads(loop);
    while (pool != NULL && strcmp(pool->name, name) != 0)
        pool = pool->next;
    return pool;
}

uint32_t offloads_count(const struct loop *loop)
{
    uint32_t count = 0;
    for (struct offload *pool = *loop_offloads((struct loop *)loop); pool != NULL;
         pool = pool->next)
        count++;
    return count;
}

/* ---- stopping ---- */

/* With the lock held: joins those that have ended. True while some have not. */
static bool join_ended(struct offload *pool)
{
    bool is_more = false;
    for (struct link *at = pool->threads.next, *next; at != &pool->threads; at = next) {
        struct offload_thread *thread = LIST_ENTRY(at, struct offload_thread, link);
        next = at->next;
        if (thread->has_ended) {
            pthread_join(thread->id, NULL); /* it waits for nothing any more, not even the lock */
            link_remove(&thread->link);
            free(thread);
        } else if (!thread->is_lost) {
            is_more = true;
        }
    }
    return is_more;
}

/* With the lock held: those that do not end are on their own from now on. */
static void leave_behind(struct offload *pool)
{
    for (struct link *at = pool->threads.next; at != &pool->threads; at = at->next) {
        struct offload_thread *thread = LIST_ENTRY(at, struct offload_thread, link);
        const char *label = thread->job != NULL ? thread->job->label : "no job";
        if (thread->is_lost)
            continue;
        log_warn("an offload thread is left behind at the stop: it still runs %s", label);
        thread->is_lost = true;
        pool->nlost++;
        pthread_detach(thread->id);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct offload *pool = handle->data;
    pthread_mutex_lock(&pool->lock);
    unref_and_unlock(pool);
}

static void stop(struct offload *pool)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)OFFLOAD_STOP_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    timer_stop(pool->loop, &pool->sweep);
    pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true;
    pthread_cond_broadcast(&pool->work);
    for (struct link *at = pool->threads.next; at != &pool->threads; at = at->next) {
        struct offload_thread *thread = LIST_ENTRY(at, struct offload_thread, link);
        if (thread->job == NULL)
            continue;
        atomic_store(&thread->job->is_cancelled, true);
        pool->kind->wake(thread->state);
    }
    while (join_ended(pool) && pthread_cond_timedwait(&pool->gone, &pool->lock, &until) == 0)
        ;
    if (join_ended(pool))
        leave_behind(pool);
    pthread_mutex_unlock(&pool->lock);
    drop_all(&pool->queue);
    drop_all(&pool->ended);
    uv_close((uv_handle_t *)&pool->ended_handle, on_handle_closed);
}

void offloads_free(struct loop *loop)
{
    struct offload **first = loop_offloads(loop);
    while (*first != NULL) {
        struct offload *pool = *first;
        *first = pool->next;
        stop(pool);
    }
}
