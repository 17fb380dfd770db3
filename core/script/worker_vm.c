#include "script/worker_vm.h"

#include "base/config.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/snapshot.h"
#include "loop/loop.h"
#include "script/generation_state.h"
#include "script/lib_thread.h"
#include "script/task.h"
#include "script/topics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WHY_BYTES = 512,
    MUCH_BYTES = 8 << 20, /* a job that brought or gave so much leaves no garbage behind */
};

struct worker_vm {
    struct loop *loop;
    struct vm *vm; /* NULL before the first job and after one that left it in doubt */
    struct offload_origin *origin; /* that vm was made from */
    struct worker_job *job;        /* runs now */
    int run_ref;                   /* function(payload) -> result */
    int failure_ref;               /* function(err) -> result */
    bool is_doubtful;
};

/* ---- origins and jobs ---- */

static void origin_free(void *data)
{
    struct worker_origin *origin = data;
    free(origin->lua_dir);
    free(origin->apps_dir);
    snapshot_free(origin->snapshot);
    mailbox_unref(origin->post);
    free(origin);
}

/* What the jobs of a VM that runs jobs itself are made from: the same. */
static bool copy_origin(struct worker_origin *to, const struct worker_vm *worker,
                        struct fault *fault)
{
    const struct worker_origin *from = offload_origin_data(worker->origin);
    to->generation = from->generation;
    to->in_process = from->in_process;
    to->post = mailbox_ref(from->post);
    if (from->apps_dir != NULL)
        to->apps_dir = mem_copy_text(from->apps_dir);
    if (from->snapshot != NULL)
        to->snapshot = snapshot_map(snapshot_fd(from->snapshot), fault);
    return from->snapshot == NULL || to->snapshot != NULL;
}

/* Of a VM on its loop's thread. */
static bool describe_vm(struct worker_origin *origin, struct vm *vm, struct fault *fault)
{
    origin->post = mailbox_ref(topics_post(topics_of(vm)));
    if (vm->generation == NULL)
        return true;
    origin->apps_dir = mem_copy_text(vm->config->apps_dir);
    origin->generation = vm->generation->number;
    origin->snapshot = snapshot_map(snapshot_fd(vm->generation->snapshot), fault);
    return origin->snapshot != NULL;
}

struct offload_origin *worker_origin_new(struct vm *vm, struct fault *fault)
{
    struct worker_origin *origin = MEM_NEW(struct worker_origin);
    origin->lua_dir = mem_copy_text(vm->lua_dir);
    if (vm->worker != NULL ? copy_origin(origin, vm->worker, fault)
                           : describe_vm(origin, vm, fault))
        return offload_origin_new(origin, origin_free);
    origin_free(origin);
    return NULL;
}

struct offload_origin *worker_origin_adopt(const struct worker_origin *from)
{
    struct worker_origin *origin = MEM_NEW(struct worker_origin);
    *origin = *from;
    origin->lua_dir = mem_copy_text(from->lua_dir);
    origin->apps_dir = from->apps_dir != NULL ? mem_copy_text(from->apps_dir) : NULL;
    return offload_origin_new(origin, origin_free);
}

/* A job's way to its caller when both are in one process. */
static void post(struct worker_job *job, struct parcel *parcel)
{
    struct link *oldest = offload_post(&job->base, &parcel->link, job->max_posted);
    if (oldest != NULL)
        parcel_free(LIST_ENTRY(oldest, struct parcel, link));
}

static void drop(struct offload_job *job)
{
    worker_job_free((struct worker_job *)job);
}

struct worker_job *worker_job_new(struct offload_origin *origin, struct parcel *payload,
                                  const char *label)
{
    struct worker_job *job = MEM_NEW(struct worker_job);
    job->base.drop = drop;
    link_init(&job->base.messages);
    strncpy(job->base.label, label, sizeof(job->base.label) - 1);
    job->origin = offload_origin_ref(origin);
    job->payload = payload;
    job->post = post;
    return job;
}

void worker_job_fail(struct worker_job *job, const char *code, const char *format, ...)
{
    char why[WHY_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    free(job->why);
    job->why = mem_copy_text(why);
    job->code = code;
    job->base.outcome = strcmp(code, "crashed") == 0 ? OFFLOAD_CRASHED : OFFLOAD_FAILED;
}

void worker_job_free(struct worker_job *job)
{
    offload_origin_unref(job->origin);
    parcels_free(&job->base.messages);
    parcel_free(job->payload);
    parcel_free(job->result);
    free(job->why);
    free(job);
}

struct offload_origin *worker_vm_origin(const struct worker_vm *worker)
{
    return worker->origin;
}

struct worker_job *worker_vm_job(const struct worker_vm *worker)
{
    return worker->job;
}

const struct log_context *worker_vm_context(const struct worker_vm *worker)
{
    return worker->job != NULL ? &worker->job->context : NULL;
}

bool worker_vm_is_cancelled(const struct worker_vm *worker)
{
    return worker->job != NULL && offload_is_cancelled(&worker->job->base);
}

/* ---- the VM ---- */

static void *worker_open(void *data)
{
    (void)data;
    struct worker_vm *worker = MEM_NEW(struct worker_vm);
    worker->loop = loop_new();
    return worker;
}

static void unload(struct worker_vm *worker)
{
    vm_free(worker->vm);
    worker->vm = NULL;
    offload_origin_unref(worker->origin);
    worker->origin = NULL;
    worker->is_doubtful = false;
}

static void worker_close(void *state)
{
    struct worker_vm *worker = state;
    unload(worker);
    loop_free(worker->loop);
    free(worker);
}

static void worker_wake(void *state)
{
    loop_wake(((struct worker_vm *)state)->loop);
}

static bool load(struct worker_vm *worker, struct offload_origin *origin, struct fault *fault)
{
    const struct worker_origin *data = offload_origin_data(origin);
    unload(worker);
    struct vm *vm = worker->vm = vm_new(worker->loop, data->lua_dir, NULL, fault);
    if (vm == NULL)
        return false;
    vm->worker = worker;
    worker->origin = offload_origin_ref(origin);
    vm_preload(vm, "moonloop.core.thread", luaopen_moonloop_core_thread);
    lua_getglobal(vm->L, "require");
    lua_pushliteral(vm->L, "moonloop.offload_worker");
    if (!vm_call(vm, 1, 1, fault)) {
        unload(worker);
        return false;
    }
    lua_getfield(vm->L, -1, "run");
    worker->run_ref = luaL_ref(vm->L, LUA_REGISTRYINDEX);
    lua_getfield(vm->L, -1, "failure");
    worker->failure_ref = luaL_ref(vm->L, LUA_REGISTRYINDEX);
    lua_settop(vm->L, 0);
    return true;
}

/* ---- a job ---- */

/* What run and failure of offload_worker.lua gave, on top of L: a string, and a list or nil. */
static void keep_result(struct worker_job *job, lua_State *L)
{
    if (lua_type(L, -2) != LUA_TSTRING) {
        worker_job_fail(job, "system", "the result of a job could not be sent");
        return;
    }
    job->result = parcel_read(L, lua_gettop(L) - 1);
    if (job->result == NULL)
        worker_job_fail(job, "system", "not enough memory for the result of a job");
}

static void on_end(struct task *task, enum task_status status)
{
    struct worker_vm *worker = task->data;
    struct worker_job *job = worker->job;
    lua_State *L = worker->vm->L;
    if (status == TASK_DONE) {
        job->base.outcome = OFFLOAD_GOOD;
        keep_result(job, task->co);
        return;
    }
    job->base.outcome = OFFLOAD_FAILED;
    if (lua_type(task->co, -1) == LUA_TSTRING &&
        strcmp(lua_tostring(task->co, -1), "not enough memory") == 0)
        worker->is_doubtful = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, worker->failure_ref);
    task_push_failure(task, L);
    if (vm_pcall(L, 1, 2) == 0) {
        keep_result(job, L);
    } else {
        worker->is_doubtful = true;
        worker_job_fail(job, "system", "the error of a job could not be sent");
    }
    lua_settop(L, 0);
}

static const struct task_owner owner = {.on_end = on_end};

static void start(struct worker_vm *worker)
{
    struct worker_job *job = worker->job;
    struct task *task = task_new(worker->vm, &owner, worker);
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, worker->run_ref);
    parcel_push(job->payload, task->co);
    parcel_free(job->payload);
    job->payload = NULL;
    loop_update_time(worker->loop);
    task_start(task, 2);
}

/* A wait that even cancelling does not end: nothing of this loop and VM can be used or freed. */
static void leave_stuck(struct worker_vm *worker)
{
    log_error("an offload job (%s) left tasks that nothing can wake: their memory is lost",
              worker->job->base.label);
    if (worker->job->result == NULL)
        worker_job_fail(worker->job, "system", "the job waits for what can never come");
    worker->vm = NULL;
    worker->loop = loop_new();
}

/* Until no task is left. */
static void finish(struct worker_vm *worker)
{
    bool is_told = false, was_stuck = false;
    while (worker->vm->ntasks != 0) {
        if (!is_told && worker_vm_is_cancelled(worker)) {
            is_told = true;
            if (worker->job->on_cancelling != NULL)
                worker->job->on_cancelling(worker->job);
            tasks_cancel_all(worker->vm, "cancelled",
                             "the caller of this job does not wait any more");
            continue;
        }
        if (loop_turn_waiting(worker->loop) || worker->vm->ntasks == 0) {
            was_stuck = false;
            continue;
        }
        if (was_stuck) {
            leave_stuck(worker);
            return;
        }
        was_stuck = true;
        tasks_cancel_all(worker->vm, "misuse", "this waits for something that can never come");
    }
}

static bool set_up(struct worker_vm *worker)
{
    struct fault fault = {0};
    if (load(worker, worker->job->origin, &fault))
        return true;
    log_error("an offload thread cannot be set up: %s", fault.text);
    worker_job_fail(worker->job, "system", "an offload thread could not be set up; see the log");
    return false;
}

/* The VM may be idle for long after this job. */
static void collect_if_much(struct worker_vm *worker, size_t bytes)
{
    if (worker->vm != NULL && bytes >= MUCH_BYTES)
        lua_gc(worker->vm->L, LUA_GCCOLLECT, 0);
}

static void worker_run(void *state, struct offload_job *base)
{
    struct worker_vm *worker = state;
    struct worker_job *job = (struct worker_job *)base;
    size_t bytes = job->payload->bytes;
    worker->job = job;
    if ((worker->vm == NULL || worker->origin != job->origin) && !set_up(worker)) {
        worker->job = NULL;
        return;
    }
    start(worker);
    finish(worker);
    worker->job = NULL;
    if (worker->is_doubtful && worker->vm != NULL)
        unload(worker);
    collect_if_much(worker, bytes + (job->result != NULL ? job->result->bytes : 0));
}

bool worker_vm_settle(void *state)
{
    return offloads_settle(((struct worker_vm *)state)->loop);
}

const struct offload_kind worker_vm_kind = {
    .name = "thread",
    .open = worker_open,
    .run = worker_run,
    .close = worker_close,
    .wake = worker_wake,
};
