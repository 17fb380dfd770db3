#include "script/job.h"

#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "script/exchange.h"
#include "script/task.h"
#include "script/vm.h"

#include <stdlib.h>
#include <string.h>

struct jobs {
    struct loop *loop;
    struct link alive;
    struct link due; /* begin with the next turn */
    struct link apps;
    struct link waits;
    struct timer turn; /* begins what is due and wakes who waits, outside of any slice */
};

struct job_wait {
    struct op op; /* first, so that release can cast back */
    struct link link;
    char *key;
};

/* ---- life ---- */

struct jobs *jobs_new(struct loop *loop)
{
    struct jobs *jobs = MEM_NEW(struct jobs);
    jobs->loop = loop;
    link_init(&jobs->alive);
    link_init(&jobs->due);
    link_init(&jobs->apps);
    link_init(&jobs->waits);
    return jobs;
}

struct jobs *jobs_of(struct vm *vm)
{
    if (vm->jobs == NULL) {
        vm->jobs = jobs_new(vm->loop);
        vm->owns_jobs = true;
    }
    return vm->jobs;
}

struct job_app *jobs_app(struct jobs *jobs, const char *name)
{
    for (struct link *at = jobs->apps.next; at != &jobs->apps; at = at->next) {
        struct job_app *app = LIST_ENTRY(at, struct job_app, link);
        if (strcmp(app->name, name) == 0)
            return app;
    }
    struct job_app *app = MEM_NEW(struct job_app);
    app->name = mem_copy_text(name);
    link_append(&jobs->apps, &app->link);
    return app;
}

static void job_free(struct job *job)
{
    link_remove(&job->link);
    link_remove(&job->due);
    job->app->njobs -= !job->is_helper;
    free(job->key);
    free(job->name);
    free(job->request);
    free(job->route);
    free(job);
}

void jobs_forget(struct jobs *jobs, const struct vm *vm)
{
    struct link *next;
    for (struct link *at = jobs->alive.next; at != &jobs->alive; at = next) {
        struct job *job = LIST_ENTRY(at, struct job, link);
        next = at->next;
        if (job->task->vm == vm)
            job_free(job);
    }
}

void jobs_free(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    ENSURE(link_is_alone(&jobs->alive) && link_is_alone(&jobs->waits));
    timer_stop(jobs->loop, &jobs->turn);
    for (struct link *first; (first = link_take_first(&jobs->apps)) != NULL;) {
        struct job_app *app = LIST_ENTRY(first, struct job_app, link);
        free(app->name);
        free(app);
    }
    free(jobs);
}

struct link *jobs_alive(struct jobs *jobs)
{
    return &jobs->alive;
}

uint32_t jobs_count(const struct jobs *jobs, const char *key)
{
    uint32_t count = 0;
    for (struct link *at = jobs->alive.next; at != &jobs->alive; at = at->next) {
        const struct job *job = LIST_ENTRY(at, struct job, link);
        count += job->key != NULL && strcmp(job->key, key) == 0;
    }
    return count;
}

/* ---- the turn ---- */

/* Those that are due now; what becomes due meanwhile has the next turn. */
static void begin_due(struct jobs *jobs)
{
    struct link batch;
    link_init(&batch);
    for (struct link *first; (first = link_take_first(&jobs->due)) != NULL;)
        link_append(&batch, first);
    for (struct link *first; (first = link_take_first(&batch)) != NULL;) {
        struct job *job = LIST_ENTRY(first, struct job, due);
        task_start(job->task, job->nargs);
    }
}

static void wake_waits(struct jobs *jobs)
{
    struct link *next;
    for (struct link *at = jobs->waits.next; at != &jobs->waits; at = next) {
        struct job_wait *wait = LIST_ENTRY(at, struct job_wait, link);
        next = at->next;
        if (jobs_count(jobs, wait->key) != 0)
            continue;
        lua_pushboolean(op_state(&wait->op), true);
        op_complete(&wait->op, 1); /* may start jobs and end other waits: from the front again */
        next = jobs->waits.next;
    }
}

static void on_turn(struct timer *timer)
{
    struct jobs *jobs = LIST_ENTRY(timer, struct jobs, turn);
    begin_due(jobs);
    wake_waits(jobs);
}

static void ask_for_turn(struct jobs *jobs)
{
    if (!timer_is_running(&jobs->turn))
        timer_start(jobs->loop, &jobs->turn, 0, on_turn);
}

/* ---- one job ---- */

static void tell_end(struct job *job, enum task_status status)
{
    static const char *const states[] = {
        [TASK_DONE] = "done", [TASK_FAILED] = "failed", [TASK_CANCELLED] = "cancelled"};
    struct task *task = job->task;
    lua_State *L = task->vm->L;
    int top = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, job->end_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, job->handle_ref);
    lua_pushstring(L, states[status]);
    if (status == TASK_DONE)
        lua_pushnil(L);
    else
        task_push_failure(task, L);
    luaL_unref(L, LUA_REGISTRYINDEX, job->end_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, job->handle_ref);
    if (vm_pcall(L, 3, 0) != 0)
        log_error("the end of the job %s of app %s is lost: %s", job->name, job->app->name,
                  lua_isstring(L, -1) ? lua_tostring(L, -1) : "an error without a message");
    lua_settop(L, top);
}

/* Freed first: whoever hears of the end finds its place free. */
static void on_end(struct task *task, enum task_status status)
{
    struct job *job = task->data;
    struct jobs *jobs = job->jobs;
    struct job ended = *job;
    ended.name = mem_copy_text(job->name);
    job_free(job);
    task->data = NULL;
    tell_end(&ended, status);
    free(ended.name);
    if (!link_is_alone(&jobs->waits))
        ask_for_turn(jobs);
}

static const struct task_owner job_owner = {.on_end = on_end};

struct job *job_new(struct jobs *jobs, struct task *task, struct job_app *app, const char *key,
                    const char *name)
{
    struct job *job = MEM_NEW(struct job);
    job->jobs = jobs;
    job->task = task;
    job->app = app;
    job->key = key != NULL ? mem_copy_text(key) : NULL;
    job->name = mem_copy_text(name);
    link_init(&job->due);
    link_append(&jobs->alive, &job->link);
    task->owner = &job_owner;
    task->data = job;
    return job;
}

const struct job *job_of(const struct task *task)
{
    while (task != NULL && task->home != NULL)
        task = task->home->owner;
    return task != NULL && task->owner == &job_owner ? task->data : NULL;
}

size_t job_log_fields(const struct task *task, struct log_field fields[JOB_LOG_FIELDS])
{
    const struct job *job = job_of(task);
    size_t count = 0;
    if (job == NULL)
        return 0;
    if (job->request != NULL)
        fields[count++] = (struct log_field){"request_id", str_of(job->request)};
    fields[count++] = (struct log_field){"app", str_of(job->app->name)};
    if (job->route != NULL)
        fields[count++] = (struct log_field){"route", str_of(job->route)};
    fields[count++] = (struct log_field){"job", str_of(job->name)};
    return count;
}

/* ---- req:after ---- */

void jobs_release(struct exchange *exchange)
{
    struct job *job = exchange->after;
    exchange->after = NULL;
    if (job != NULL)
        ask_for_turn(job->jobs);
    while (job != NULL) {
        struct job *next = job->next_after;
        job->next_after = NULL;
        link_append(&job->jobs->due, &job->due);
        job = next;
    }
}

void jobs_drop(struct exchange *exchange, const char *why)
{
    struct job *job = exchange->after;
    exchange->after = NULL;
    while (job != NULL) {
        struct job *next = job->next_after;
        lua_State *L = job->task->vm->L;
        job->next_after = NULL;
        vm_push_error(L, "cancelled", "%s", why);
        task_cancel(job->task, L);
        task_start(job->task, job->nargs); /* it ends without having begun */
        job = next;
    }
}

/* ---- waiting for the end ---- */

static void wait_release(struct op *op)
{
    struct job_wait *wait = (struct job_wait *)op;
    link_remove(&wait->link);
    free(wait->key);
    free(wait);
}

struct op *jobs_wait(struct jobs *jobs, const char *key)
{
    struct job_wait *wait = MEM_NEW(struct job_wait);
    wait->op.release = wait_release;
    wait->op.kind = WAIT_PASSIVE;
    wait->key = mem_copy_text(key);
    link_append(&jobs->waits, &wait->link);
    if (jobs_count(jobs, key) == 0)
        ask_for_turn(jobs);
    return &wait->op;
}
