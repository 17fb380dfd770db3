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

#include <stdlib.h>
#include <string.h>

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

struct offload_origin *worker_origin_new(struct vm *vm, struct fault *fault)
{
    const struct generation *generation = vm->generation;
    struct worker_origin *origin = MEM_NEW(struct worker_origin);
    origin->lua_dir = mem_copy_text(vm->lua_dir);
    origin->post = mailbox_ref(topics_post(topics_of(vm)));
    if (generation != NULL) {
        origin->apps_dir = mem_copy_text(vm->config->apps_dir);
        origin->generation = generation->number;
        origin->snapshot = snapshot_map(snapshot_fd(generation->snapshot), fault);
        if (origin->snapshot == NULL) {
            origin_free(origin);
            return NULL;
        }
    }
    return offload_origin_new(origin, origin_free);
}

void worker_job_free(struct worker_job *job)
{
    offload_origin_unref(job->origin);
    buf_deinit(&job->payload);
    buf_deinit(&job->result);
    free(job);
}

void worker_job_drop(struct offload_job *job)
{
    worker_job_free((struct worker_job *)job);
}

struct offload_origin *worker_vm_origin(const struct worker_vm *worker)
{
    return worker->origin;
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

static void keep_result(struct worker_job *job, lua_State *L, int index)
{
    struct str bytes;
    bytes.ptr = lua_tolstring(L, index, &bytes.len);
    buf_add_str(&job->result, bytes);
}

static void on_end(struct task *task, enum task_status status)
{
    struct worker_vm *worker = task->data;
    struct worker_job *job = worker->job;
    lua_State *L = worker->vm->L;
    if (status == TASK_DONE) {
        job->is_ok = true;
        keep_result(job, task->co, -1);
        return;
    }
    if (lua_type(task->co, -1) == LUA_TSTRING &&
        strcmp(lua_tostring(task->co, -1), "not enough memory") == 0)
        worker->is_doubtful = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, worker->failure_ref);
    task_push_failure(task, L);
    if (vm_pcall(L, 1, 1) != 0)
        worker->is_doubtful = true;
    if (lua_isstring(L, -1))
        keep_result(job, L, -1);
    lua_settop(L, 0);
}

static const struct task_owner owner = {.on_end = on_end};

static void start(struct worker_vm *worker)
{
    struct worker_job *job = worker->job;
    struct task *task = task_new(worker->vm, &owner, worker);
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, worker->run_ref);
    lua_pushlstring(task->co, job->payload.ptr, job->payload.len);
    buf_deinit(&job->payload);
    loop_update_time(worker->loop);
    task_start(task, 1);
}

/* A wait that even cancelling does not end: nothing of this loop and VM can be used or freed. */
static void leave_stuck(struct worker_vm *worker)
{
    log_error("an offload job (%s) left tasks that nothing can wake: their memory is lost",
              worker->job->base.label);
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

static void worker_run(void *state, struct offload_job *base)
{
    struct worker_vm *worker = state;
    struct worker_job *job = (struct worker_job *)base;
    struct fault fault = {0};
    worker->job = job;
    if (worker->vm == NULL || worker->origin != job->origin) {
        if (!load(worker, job->origin, &fault)) {
            log_error("an offload thread cannot be set up: %s", fault.text);
            worker->job = NULL;
            return; /* no result at all says so */
        }
    }
    start(worker);
    finish(worker);
    worker->job = NULL;
    if (worker->is_doubtful && worker->vm != NULL)
        unload(worker);
}

const struct offload_kind worker_vm_kind = {
    .open = worker_open,
    .run = worker_run,
    .close = worker_close,
    .wake = worker_wake,
};
