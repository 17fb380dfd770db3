/*
 * moonloop.core.offload: sends jobs, which are bytes to this file, to the loop's pool of threads
 * and waits for the bytes that come back. Made on the loop's thread; on an offload thread only
 * is_thread is of use.
 */
#include "script/lib_offload.h"

#include "base/mem.h"
#include "base/snapshot.h"
#include "loop/offload.h"
#include "script/generation_state.h"
#include "script/task.h"
#include "script/worker_vm.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WAITING = 1000 };

static uint32_t pool_size(const struct config *config)
{
    cpu_set_t cpus;
    if (config != NULL && config->threads != 0)
        return config->threads;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
        return 1;
    return (uint32_t)CPU_COUNT(&cpus);
}

static struct offload *pool_of(struct vm *vm)
{
    struct offload *pool = offload_find(vm->loop, "");
    if (pool != NULL)
        return pool;
    return offload_new(vm->loop, "", pool_size(vm->config), MAX_WAITING, &worker_vm_kind, NULL);
}

/* Raises when the snapshot cannot be mapped once more. */
static struct offload_origin *origin_of(lua_State *L, struct vm *vm)
{
    struct fault fault = {0};
    if (vm->origin == NULL)
        vm->origin = worker_origin_new(vm, &fault);
    if (vm->origin == NULL) {
        vm_push_error(L, "system", "%s", fault.text);
        lua_error(L);
    }
    return vm->origin;
}

/* put(bytes): the number by which threads can fetch them, or nil when there are too many already */
static int l_put(lua_State *L)
{
    struct str bytes;
    bytes.ptr = luaL_checklstring(L, 1, &bytes.len);
    uint32_t number = offload_origin_put(origin_of(L, VM_UPVALUE(L)), bytes);
    if (number == 0)
        return 0;
    lua_pushinteger(L, (lua_Integer)number);
    return 1;
}

struct offload_op {
    struct op op;
    struct offload *pool;
    struct worker_job *job; /* NULL: it has come back */
};

static void release(struct op *op)
{
    struct offload_op *wait = (struct offload_op *)op;
    if (wait->job != NULL) {
        wait->job->waiting = NULL;
        if (offload_cancel(wait->pool, &wait->job->base))
            worker_job_free(wait->job);
    }
    free(wait);
}

static void on_done(struct offload_job *base)
{
    struct worker_job *job = (struct worker_job *)base;
    struct offload_op *wait = job->waiting;
    if (wait != NULL) {
        lua_State *L = op_state(&wait->op);
        wait->job = NULL;
        lua_pushboolean(L, true);
        lua_pushboolean(L, job->is_ok);
        lua_pushlstring(L, job->result.ptr != NULL ? job->result.ptr : "", job->result.len);
    }
    worker_job_free(job);
    if (wait != NULL)
        op_complete(&wait->op, 3);
}

static struct worker_job *job_new(struct offload_origin *origin, struct str payload,
                                  const char *label)
{
    struct worker_job *job = MEM_NEW(struct worker_job);
    job->base.on_done = on_done;
    job->base.drop = worker_job_drop;
    strncpy(job->base.label, label, sizeof(job->base.label) - 1);
    job->origin = offload_origin_ref(origin);
    buf_add_str(&job->payload, payload);
    return job;
}

/* submit(payload, label): true, whether the job succeeded, its result; waits. Raises `full`. */
static int l_submit(lua_State *L)
{
    struct vm *vm = task_check(L);
    struct str payload;
    payload.ptr = luaL_checklstring(L, 1, &payload.len);
    const char *label = luaL_checkstring(L, 2);
    struct offload_origin *origin = origin_of(L, vm);
    struct offload *pool = pool_of(vm);
    struct worker_job *job = job_new(origin, payload, label);
    int status = offload_submit(pool, &job->base);
    if (status != 0) {
        worker_job_free(job);
        if (status == -EAGAIN)
            vm_push_error(L, "full", "%d jobs wait for an offload thread already", MAX_WAITING);
        else
            vm_push_error(L, "system", "cannot start an offload thread: %s", strerror(-status));
        return lua_error(L);
    }
    struct offload_op *wait = MEM_NEW(struct offload_op);
    wait->op.release = release;
    wait->pool = pool;
    wait->job = job;
    job->waiting = wait;
    return task_wait(L, &wait->op);
}

static int l_is_thread(lua_State *L)
{
    lua_pushboolean(L, VM_UPVALUE(L)->worker != NULL);
    return 1;
}

static void set_number(lua_State *L, const char *name, lua_Number value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

/* stats(): size, threads, busy, waiting, lost, jobs; see offload.h */
static int l_stats(lua_State *L)
{
    struct offload_stats stats = offload_stats(pool_of(VM_UPVALUE(L)));
    lua_createtable(L, 0, 6);
    set_number(L, "size", stats.size);
    set_number(L, "threads", stats.threads);
    set_number(L, "busy", stats.busy);
    set_number(L, "waiting", stats.waiting);
    set_number(L, "lost", stats.lost);
    set_number(L, "jobs", (lua_Number)stats.jobs);
    return 1;
}

int luaopen_moonloop_core_offload(lua_State *L)
{
    static const luaL_Reg functions[] = {{"put", l_put},
                                         {"submit", l_submit},
                                         {"is_thread", l_is_thread},
                                         {"stats", l_stats},
                                         {NULL, NULL}};
    vm_library(L, functions);
    return 1;
}
