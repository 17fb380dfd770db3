/*
 * The threads of a pool: each takes a job, runs it, hands it back, until the pool stops or its job
 * was given up.
 */
#include "loop/offload_state.h"

#include "base/mem.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

uint64_t offload_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

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
    pool->nbusy++;
    job->state = OFFLOAD_RUNNING;
    job->began_ns = offload_now_ns();
    return job;
}

/* With the lock held. */
static void count(struct offload *pool, const struct offload_job *job)
{
    struct offload_stats *totals = &pool->totals;
    uint64_t wait_ns = job->began_ns - job->submitted_ns;
    uint64_t run_ns = offload_now_ns() - job->began_ns;
    totals->jobs++;
    totals->failed += job->outcome != OFFLOAD_GOOD;
    totals->crashed += job->outcome == OFFLOAD_CRASHED;
    totals->killed += job->was_killed;
    totals->processes = (uint32_t)((int64_t)totals->processes + job->processes);
    totals->wait_ns += wait_ns;
    totals->run_ns += run_ns;
    if (wait_ns > totals->max_wait_ns)
        totals->max_wait_ns = wait_ns;
    if (run_ns > totals->max_run_ns)
        totals->max_run_ns = run_ns;
}

/* With the lock held. */
static void hand_back(struct offload *pool, struct offload_job *job)
{
    count(pool, job);
    job->state = OFFLOAD_ENDED;
    if (pool->is_stopping) { /* nobody listens any more */
        link_remove(&job->posted);
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

struct link *offload_post(struct offload_job *job, struct link *message, uint32_t limit)
{
    struct offload *pool = job->pool;
    struct link *oldest = NULL;
    pthread_mutex_lock(&pool->lock);
    if (job->nmessages >= limit) {
        oldest = job->messages.next;
        link_remove(oldest);
        job->nmessages--;
        job->ndropped++;
    }
    link_append(&job->messages, message);
    job->nmessages++;
    if (link_is_alone(&job->posted) && !pool->is_stopping) {
        link_append(&pool->posted, &job->posted);
        uv_async_send(&pool->ended_handle);
    }
    pthread_mutex_unlock(&pool->lock);
    return oldest;
}

/* With the lock held. */
static void end(struct offload_thread *self)
{
    struct offload *pool = self->pool;
    if (self->is_lost) {
        pool->nlost--;
        link_remove(&self->link);
        free(self);
        return;
    }
    self->has_ended = true;
    pthread_cond_signal(&pool->gone);
    uv_async_send(&pool->ended_handle); /* it is closed only when all have ended */
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
        if (!self->is_lost)
            pool->nbusy--;
        hand_back(pool, job);
        if (pool->is_settling)
            pthread_cond_signal(&pool->gone);
    }
    pthread_mutex_unlock(&pool->lock);
    pool->kind->close(state);
    pthread_mutex_lock(&pool->lock);
    end(self);
    offload_unref_and_unlock(pool);
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

int offload_start_thread_if_needed(struct offload *pool)
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
