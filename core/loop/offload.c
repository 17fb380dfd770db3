/*
 * The loop's side of pools. One mutex guards a pool: its queue, its list of ended jobs, its
 * threads. It is held for a few instructions at a time, never while a job runs or a callback is
 * called, except kind->wake.
 */
#include "loop/offload_state.h"

#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "loop/loop_parts.h"
#include "loop/uv_loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SWEEP_MS = 250 };

/* ---- life ---- */

void offload_unref_and_unlock(struct offload *pool)
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
    for (struct link *first; (first = link_take_first(jobs)) != NULL;) {
        struct offload_job *job = LIST_ENTRY(first, struct offload_job, link);
        link_remove(&job->posted);
        job->drop(job);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct offload *pool = handle->data;
    pthread_mutex_lock(&pool->lock);
    offload_unref_and_unlock(pool);
}

/* All that is in one list goes to another, which need not be a list yet. */
static void move_all(struct link *from, struct link *to)
{
    link_init(to);
    if (link_is_alone(from))
        return;
    *to = *from;
    to->next->prev = to->prev->next = to;
    link_init(from);
}

/* With the lock held: joins those that have ended. True while some have not. */
static bool join_ended(struct offload *pool)
{
    bool is_more = false;
    struct link threads;
    move_all(&pool->threads, &threads);
    for (struct link *first; (first = link_take_first(&threads)) != NULL;) {
        struct offload_thread *thread = LIST_ENTRY(first, struct offload_thread, link);
        if (thread->has_ended) {
            pthread_join(thread->id, NULL); /* it waits for nothing any more, not even the lock */
            free(thread);
        } else {
            is_more = is_more || !thread->is_lost;
            link_append(&pool->threads, first);
        }
    }
    return is_more;
}

/* Out of the loop's list, the handle closed. */
static void leave_loop(struct offload *pool)
{
    struct offload **at = loop_offloads(pool->loop);
    while (*at != pool)
        at = &(*at)->next;
    *at = pool->next;
    uv_close((uv_handle_t *)&pool->ended_handle, on_handle_closed);
}

static void leave_loop_if_over(struct offload *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool is_over = pool->is_stopping && !join_ended(pool);
    pthread_mutex_unlock(&pool->lock);
    if (is_over && !uv_is_closing((uv_handle_t *)&pool->ended_handle))
        leave_loop(pool);
}

/* Once nobody uses it and no job is out: on_ended hears of the end of its threads. */
static void end_if_unused(struct offload *pool)
{
    if (pool->nusers != 0 || pool->nout != 0 || pool->is_stopping)
        return;
    timer_stop(pool->loop, &pool->sweep);
    pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    leave_loop_if_over(pool);
}

struct offload *offload_ref(struct offload *pool)
{
    pool->nusers++;
    return pool;
}

void offload_unref(struct offload *pool)
{
    pool->nusers--;
    end_if_unused(pool);
}

/* ---- jobs ---- */

static void count_out(struct offload *pool, int change)
{
    bool was_out = pool->nout != 0;
    pool->nout += (uint32_t)change;
    if (!was_out && pool->nout != 0)
        uv_ref((uv_handle_t *)&pool->ended_handle);
    else if (was_out && pool->nout == 0)
        uv_unref((uv_handle_t *)&pool->ended_handle);
}

/* Messages of jobs that run, and of those that have ended, before anybody hears of their end. What
 * is posted meanwhile is for the next turn. */
static void deliver(struct offload *pool)
{
    struct link batch, messages;
    pthread_mutex_lock(&pool->lock);
    move_all(&pool->posted, &batch);
    for (struct link *first; (first = link_take_first(&batch)) != NULL;) {
        struct offload_job *job = LIST_ENTRY(first, struct offload_job, posted);
        move_all(&job->messages, &messages);
        uint32_t ndropped = job->ndropped;
        job->nmessages = job->ndropped = 0;
        pthread_mutex_unlock(&pool->lock);
        job->on_post(job, &messages, ndropped); /* the job stays: only on_done gives it back */
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
}

static void on_ended(uv_async_t *handle)
{
    struct offload *pool = handle->data;
    struct link batch;
    pthread_mutex_lock(&pool->lock);
    move_all(&pool->ended, &batch);
    pthread_mutex_unlock(&pool->lock);
    deliver(pool);
    for (struct link *first; (first = link_take_first(&batch)) != NULL;) {
        struct offload_job *job = LIST_ENTRY(first, struct offload_job, link);
        if (!job->is_lost)
            count_out(pool, -1);
        job->on_done(job);
    }
    end_if_unused(pool);
    if (pool->is_stopping)
        leave_loop_if_over(pool);
}

int offload_submit(struct offload *pool, struct offload_job *job)
{
    int status = -EAGAIN;
    atomic_init(&job->is_cancelled, false);
    job->pool = pool;
    job->is_lost = false;
    job->nmessages = job->ndropped = 0;
    job->submitted_ns = offload_now_ns();
    link_init(&job->posted);
    link_init(&job->messages);
    pthread_mutex_lock(&pool->lock);
    uint32_t nfree = pool->size > pool->nbusy ? pool->size - pool->nbusy : 0;
    if (pool->nwaiting < (uint64_t)pool->max_waiting + nfree) {
        job->state = OFFLOAD_QUEUED;
        link_append(&pool->queue, &job->link);
        pool->nwaiting++;
        if ((status = offload_start_thread_if_needed(pool)) == 0) {
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
    pool->nbusy--;
    log_warn(
        "an offload thread runs on %d s after its job (%s) was cancelled: a fresh thread takes "
        "its place, %u of at most %u are lost",
        OFFLOAD_LOST_MS / 1000, thread->job->label, pool->nlost, pool->size);
    count_out(pool, -1);
    int status = offload_start_thread_if_needed(pool);
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
    end_if_unused(pool);
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

bool offload_cancel(struct offload_job *job)
{
    struct offload *pool = job->pool;
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
    if (was_queued) {
        count_out(pool, -1);
        end_if_unused(pool);
    }
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
    struct offload_stats stats = pool->totals;
    stats.size = pool->size;
    stats.threads = pool->nthreads;
    stats.busy = pool->nbusy;
    stats.waiting = pool->nwaiting;
    stats.queue = pool->max_waiting;
    stats.lost = pool->nlost;
    pthread_mutex_unlock(&pool->lock);
    return stats;
}

const char *offload_name(const struct offload *pool)
{
    return pool->name;
}

const struct offload_kind *offload_kind_of(const struct offload *pool)
{
    return pool->kind;
}

/* ---- the pools of a loop ---- */

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
    pool->nusers = 1;
    pool->nrefs = 1;
    link_init(&pool->queue);
    link_init(&pool->ended);
    link_init(&pool->posted);
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

struct offload *offload_find(struct loop *loop, const char *name, uint32_t size,
                             uint32_t max_waiting, const struct offload_kind *kind)
{
    struct offload *pool = *loop_offloads(loop);
    while (pool != NULL && (pool->is_stopping || pool->size != size || pool->kind != kind ||
                            pool->max_waiting != max_waiting || strcmp(pool->name, name) != 0))
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

static struct timespec after_ms(uint32_t delay_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)delay_ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}

/* Threads end after their job, which is cancelled. */
static void ask_to_stop(struct offload *pool)
{
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
    pthread_mutex_unlock(&pool->lock);
}

static void stop(struct offload *pool, const struct timespec *until)
{
    pthread_mutex_lock(&pool->lock);
    while (join_ended(pool) && pthread_cond_timedwait(&pool->gone, &pool->lock, until) == 0)
        ;
    if (join_ended(pool))
        leave_behind(pool);
    pthread_mutex_unlock(&pool->lock);
    drop_all(&pool->queue);
    drop_all(&pool->ended);
    leave_loop(pool);
}

bool offloads_settle(struct loop *loop)
{
    bool is_settled = true;
    struct timespec until = after_ms(OFFLOAD_STOP_MS);
    for (struct offload *pool = *loop_offloads(loop); pool != NULL; pool = pool->next) {
        pthread_mutex_lock(&pool->lock);
        pool->is_settling = true;
        while (pool->nbusy + pool->nlost != 0 &&
               pthread_cond_timedwait(&pool->gone, &pool->lock, &until) == 0)
            ;
        pool->is_settling = false;
        is_settled = is_settled && pool->nbusy + pool->nlost == 0;
        pthread_mutex_unlock(&pool->lock);
    }
    return is_settled;
}

void offloads_free(struct loop *loop)
{
    struct offload **first = loop_offloads(loop);
    struct timespec until = after_ms(OFFLOAD_STOP_MS);
    for (struct offload *pool = *first; pool != NULL; pool = pool->next)
        ask_to_stop(pool);
    while (*first != NULL)
        stop(*first, &until);
}
