/*
 * moonloop.core.offload: the pools of this loop that run jobs elsewhere, and what jobs of this VM
 * share. Jobs themselves are in pool_job.c. On an offload thread there are pools too, of that
 * thread's loop; lua/moonloop/pool.lua decides what they are used for.
 */
#include "script/lib_offload.h"

#include "base/snapshot.h"
#include "loop/offload.h"
#include "script/generation_state.h"
#include "script/pool_job.h"
#include "script/process_vm.h"
#include "script/worker_vm.h"

#include <sched.h>
#include <string.h>

static const struct offload_kind *const kinds[] = {&worker_vm_kind, &process_vm_kind};

static uint32_t default_size(const struct config *config, const struct offload_kind *kind)
{
    cpu_set_t cpus;
    if (config != NULL && kind == &process_vm_kind && config->processes != 0)
        return config->processes;
    if (config != NULL && config->threads != 0)
        return config->threads;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
        return 1;
    return (uint32_t)CPU_COUNT(&cpus);
}

static const struct offload_kind *check_kind(lua_State *L, int index)
{
    const char *name = luaL_checkstring(L, index);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    luaL_argerror(L, index, "no such kind of pool");
    return NULL;
}

/* open(name, kind, size, queue): a user of the pool that is like that, made if there is none. With
 * an empty name always a new one, with none that of moonloop.offload; size 0: as many as CPUs */
static int l_open(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    const char *name = luaL_optstring(L, 1, "default");
    const struct offload_kind *kind = check_kind(L, 2);
    uint32_t size = (uint32_t)luaL_checkinteger(L, 3);
    uint32_t queue = (uint32_t)luaL_checkinteger(L, 4);
    struct pool_box *box = lua_newuserdata(L, sizeof(*box));
    box->pool = NULL;
    luaL_getmetatable(L, POOL_NAME);
    lua_setmetatable(L, -2);
    if (size == 0)
        size = default_size(vm->config, kind);
    if (*name != '\0')
        box->pool = offload_find(vm->loop, name, size, queue, kind);
    if (box->pool != NULL) {
        offload_ref(box->pool);
        return 1;
    }
    box->pool = offload_new(vm->loop, name, size, queue, kind, NULL);
    if (lua_isnoneornil(L, 1) && kind == &worker_vm_kind)
        offload_ref(box->pool); /* for as long as the loop: idle threads cost little */
    return 1;
}

struct offload *pool_check(lua_State *L, int index)
{
    struct pool_box *box = luaL_checkudata(L, index, POOL_NAME);
    if (box->pool == NULL) {
        vm_push_error(L, "closed", "the pool was closed");
        lua_error(L);
    }
    return box->pool;
}

/* close(pool): this use of it; harmless twice. Also when it is collected, or the VM closed. */
static int l_close(lua_State *L)
{
    struct pool_box *box = luaL_checkudata(L, 1, POOL_NAME);
    if (box->pool != NULL)
        offload_unref(box->pool);
    box->pool = NULL;
    return 0;
}

static void set_number(lua_State *L, const char *name, lua_Number value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

/* stats(pool): see struct offload_stats; times in seconds */
static int l_stats(lua_State *L)
{
    struct offload *pool = pool_check(L, 1);
    struct offload_stats stats = offload_stats(pool);
    lua_Number njobs = stats.jobs != 0 ? (lua_Number)stats.jobs : 1;
    lua_createtable(L, 0, 20);
    lua_pushstring(L, offload_kind_of(pool)->name);
    lua_setfield(L, -2, "kind");
    set_number(L, "size", stats.size);
    set_number(L, "queue", stats.queue);
    set_number(L, "threads", stats.threads);
    set_number(L, "busy", stats.busy);
    set_number(L, "waiting", stats.waiting);
    set_number(L, "lost", stats.lost);
    set_number(L, "jobs", (lua_Number)stats.jobs);
    set_number(L, "failed", (lua_Number)stats.failed);
    set_number(L, "crashed", (lua_Number)stats.crashed);
    if (offload_kind_of(pool) == &process_vm_kind) {
        set_number(L, "processes", stats.processes);
        set_number(L, "killed", (lua_Number)stats.killed);
    }
    set_number(L, "wait_total", (lua_Number)stats.wait_ns / 1e9);
    set_number(L, "wait_mean", (lua_Number)stats.wait_ns / 1e9 / njobs);
    set_number(L, "wait_max", (lua_Number)stats.max_wait_ns / 1e9);
    set_number(L, "run_total", (lua_Number)stats.run_ns / 1e9);
    set_number(L, "run_mean", (lua_Number)stats.run_ns / 1e9 / njobs);
    set_number(L, "run_max", (lua_Number)stats.max_run_ns / 1e9);
    return 1;
}

struct offload_origin *vm_offload_origin(lua_State *L, struct vm *vm)
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
    uint32_t number = offload_origin_put(vm_offload_origin(L, VM_UPVALUE(L)), bytes);
    if (number == 0)
        return 0;
    lua_pushinteger(L, (lua_Integer)number);
    return 1;
}

/* place(): "loop", "thread" or "process", where this VM is; whether that is in a process of a pool
 */
static int l_place(lua_State *L)
{
    const struct worker_vm *worker = VM_UPVALUE(L)->worker;
    const struct worker_origin *origin =
        worker != NULL ? offload_origin_data(worker_vm_origin(worker)) : NULL;
    if (worker == NULL)
        lua_pushliteral(L, "loop");
    else
        lua_pushstring(L, origin->child != NULL ? "process" : "thread");
    lua_pushboolean(L, origin != NULL && origin->in_process);
    return 2;
}

int luaopen_moonloop_core_offload(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"open", l_open},         {"close", l_close},         {"stats", l_stats},
        {"put", l_put},           {"place", l_place},         {"job", l_job_new},
        {"submit", l_job_submit}, {"next", l_job_next},       {"finish", l_job_end},
        {"keep", l_job_keep},     {"dropped", l_job_dropped}, {NULL, NULL}};
    luaL_newmetatable(L, POOL_NAME);
    lua_pushcfunction(L, l_close);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    pool_job_prepare(L);
    vm_library(L, functions);
    return 1;
}
