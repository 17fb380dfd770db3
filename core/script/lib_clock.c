/*
 * moonloop.core.clock: the clocks of the loop, and what specs do with them: virtual time, and a
 * random order of tasks that are ready.
 */
#include "script/lib_clock.h"

#include "base/log.h"
#include "loop/virtual_time.h"
#include "script/task.h"

#include <math.h>

#define WALL_MAX 253402300800.0 /* the end of the year 9999 */
#define OWNER_NAME "moonloop.core.virtual"

/* While virtual time is on. */
struct virtual_owner {
    struct vm *vm;
    struct task *task; /* that turned it on */
    int on_stuck_ref;  /* function(list of texts) -> error object */
    int nstuck;
    bool is_on;
};

/* now(): monotonic seconds */
static int l_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)loop_precise_us(VM_UPVALUE(L)->loop) / 1e6);
    return 1;
}

/* wall(): Unix time in seconds */
static int l_wall(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)loop_wall_us(VM_UPVALUE(L)->loop) / 1e6);
    return 1;
}

/* ---- virtual time ---- */

static bool is_within(const struct task *task, const struct task *above)
{
    while (task != above && task->home != NULL)
        task = task->home->owner;
    return task == above;
}

/* Not those that wait for the end of virtual time. */
static bool is_stuck(const struct virtual_owner *owner, const struct task *task)
{
    return task == owner->task || (task->status == TASK_WAITING && !is_within(owner->task, task));
}

/* A list of "NAME waits at apps/a.lua:12 in recv". */
static void push_waiting(const struct virtual_owner *owner, lua_State *L)
{
    const struct link *alive = &owner->vm->alive;
    int count = 0;
    lua_newtable(L);
    for (struct link *at = alive->next; at != alive; at = at->next) {
        const struct task *task = LIST_ENTRY(at, struct task, alive);
        if (!is_stuck(owner, task))
            continue;
        task_push_name(L, task);
        lua_pushstring(L, task->status == TASK_ENDING ? " has ended and waits for its tasks"
                                                      : " waits at ");
        if (task->status == TASK_ENDING)
            lua_pushliteral(L, "");
        else
            task_push_where(L, task);
        lua_concat(L, 3);
        lua_rawseti(L, -2, ++count);
    }
}

/* The error on top of L ends what cancellation does not reach: clean-up that waits for ever. */
static void cancel_innermost(struct virtual_owner *owner, lua_State *L)
{
    const struct link *alive = &owner->vm->alive;
    for (struct link *at = alive->next; at != alive; at = at->next) {
        struct task *task = LIST_ENTRY(at, struct task, alive);
        if (!is_within(task, owner->task))
            continue;
        lua_pushvalue(L, -1);
        scope_cancel(task->scope, L);
    }
}

static void on_stuck(void *data)
{
    struct virtual_owner *owner = data;
    struct fault fault = {0};
    lua_State *L = owner->vm->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, owner->on_stuck_ref);
    push_waiting(owner, L);
    if (!vm_call(owner->vm, 1, 1, &fault)) {
        log_error("virtual time: %s", fault.text);
        lua_pushnil(L);
    }
    if (owner->nstuck++ != 0)
        cancel_innermost(owner, L);
    task_cancel(owner->task, L);
}

static int refuse(lua_State *L, const char *why)
{
    vm_push_error(L, "misuse", "testing.virtual: %s", why);
    return lua_error(L);
}

/* virtual_start(wall, on_stuck): for the running task, until virtual_stop */
static int l_virtual_start(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    lua_Number wall = luaL_checknumber(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (vm->current == NULL)
        return refuse(L, "it needs a task: call it inside a spec");
    if (vm->generation != NULL || vm->worker != NULL)
        return refuse(L, "it is for specs: a handler or a thread cannot change the server's clock");
    if (virtual_time_is_on(vm->loop))
        return refuse(L, "virtual time is on already; it is one clock for all that runs here, so "
                         "one call goes around everything");
    if (!(wall >= 0 && wall < WALL_MAX))
        return refuse(L, "start: expected Unix time in seconds, from 0 to the year 9999");
    struct virtual_owner *owner = lua_newuserdata(L, sizeof(*owner));
    *owner = (struct virtual_owner){.vm = vm, .task = vm->current, .is_on = true};
    luaL_getmetatable(L, OWNER_NAME);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 2);
    owner->on_stuck_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    virtual_time_start(vm->loop, (int64_t)llround(wall * 1e6), on_stuck, owner);
    return 1;
}

/* virtual_stop(owner); also when a lost owner is collected */
static int l_virtual_stop(lua_State *L)
{
    struct virtual_owner *owner = luaL_checkudata(L, 1, OWNER_NAME);
    if (!owner->is_on)
        return 0;
    owner->is_on = false;
    virtual_time_stop(owner->vm->loop);
    luaL_unref(L, LUA_REGISTRYINDEX, owner->on_stuck_ref);
    return 0;
}

/* shuffle(seed): the order in which tasks that are ready run; 0: first come, first served */
static int l_shuffle(lua_State *L)
{
    lua_Number seed = luaL_checknumber(L, 1);
    /* Neighbouring seeds shall not begin alike: splitmix64. */
    uint64_t state = (uint64_t)seed * 0x9e3779b97f4a7c15u;
    state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
    state = (state ^ (state >> 27)) * 0x94d049bb133111ebu;
    VM_UPVALUE(L)->shuffle = state ^ (state >> 31);
    return 0;
}

int luaopen_moonloop_core_clock(lua_State *L)
{
    static const luaL_Reg functions[] = {{"now", l_now},
                                         {"wall", l_wall},
                                         {"virtual_start", l_virtual_start},
                                         {"virtual_stop", l_virtual_stop},
                                         {"shuffle", l_shuffle},
                                         {NULL, NULL}};
    luaL_newmetatable(L, OWNER_NAME);
    lua_pushcfunction(L, l_virtual_stop);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    vm_library(L, functions);
    return 1;
}
