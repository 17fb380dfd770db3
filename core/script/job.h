/*
 * job.h - work that belongs to no request and no other task: what req:after, app:background and the
 * timers run. A job is a task without a parent, with a key, a place among the jobs of its app, and
 * what the log says of it.
 *
 * One struct jobs for all generations of a worker, so that a generation sees what the one before it
 * still runs; a VM outside a server has its own. On the loop's thread.
 */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "loop/timer.h"

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exchange;
struct job;
struct jobs;
struct loop;
struct task;
struct vm;

enum { JOB_LOG_FIELDS = 4 };

struct jobs *jobs_new(struct loop *loop);
/* No VM that uses them is left. */
void jobs_free(struct jobs *jobs);
/* Before a VM is freed: its jobs end with it, without a word. */
void jobs_forget(struct jobs *jobs, const struct vm *vm);

/* The request has been answered: its jobs begin once the answer has been written. */
void jobs_release(struct exchange *exchange);
/* They will not run: each ends as cancelled, for that reason. */
void jobs_drop(struct exchange *exchange, const char *why);

/* What the log says of the job that a task works for, if any: app, job, and of req:after the
 * request. The number of fields. Borrowed from the job. */
size_t job_log_fields(const struct task *task, struct log_field fields[JOB_LOG_FIELDS]);

int luaopen_moonloop_core_job(lua_State *L);

/* ---- for lib_job.c ---- */

struct job {
    struct link link; /* in jobs->alive */
    struct link due;  /* in the list of those that begin with the next turn */
    struct jobs *jobs;
    struct task *task;
    struct job_app *app;
    struct job *next_after; /* of the same request, until that is answered */
    char *key;              /* "background\1shop\1mailer"; NULL: nobody looks for it */
    char *name;             /* for the log: "every 5s" */
    char *request;          /* id of the request behind req:after; NULL: none */
    char *route;            /* its pattern */
    int end_ref;            /* function(handle, state, err) */
    int handle_ref;
    int nargs;
    bool is_helper; /* of a timer: not among the jobs of the app */
};

struct job_app {
    struct link link; /* in jobs->apps */
    char *name;
    uint32_t njobs; /* alive, in all generations, without helpers */
};

struct job_wait;

/* The jobs of a VM, made when first asked for. */
struct jobs *jobs_of(struct vm *vm);
struct job_app *jobs_app(struct jobs *jobs, const char *name);
/* Takes a task that was not started, with its function and arguments on its stack. */
struct job *job_new(struct jobs *jobs, struct task *task, struct job_app *app, const char *key,
                    const char *name);
/* The job that a task works for; NULL: none, or it has ended. */
const struct job *job_of(const struct task *task);
uint32_t jobs_count(const struct jobs *jobs, const char *key);
struct link *jobs_alive(struct jobs *jobs);
/* An op that ends with `true` when no job of that key is left; for task_wait. */
struct op *jobs_wait(struct jobs *jobs, const char *key);
