/*
 * moonloop.core.task: what lua/moonloop/task.lua builds structured concurrency from. Functions that
 * wait return `true, ...` or `false, error`; the Lua side raises.
 */
#include "script/task.h"

#include "base/mem.h"
#include "loop/loop.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECONDS_MAX (86400.0 * 366)

/* Seconds from the stack as milliseconds of the loop's clock, rounded up. */
static uint64_t check_ms(lua_State *L, int index)
{
    lua_Number seconds = luaL_checknumber(L, index);
    if (!(seconds >= 0 && seconds <= SECONDS_MAX)) { /* also a NaN */
        vm_push_error(L, "misuse", "expected 0 to %f seconds, got %s", SECONDS_MAX,
                      lua_tostring(L, index));
        lua_error(L);
    }
    return (uint64_t)ceil(seconds * 1000);
}

struct sleep_op {
    struct op op;
    struct timer timer;
};

static void sleep_release(struct op *op)
{
    struct sleep_op *sleep = (struct sleep_op *)op;
    timer_stop(op->task->vm->loop, &sleep->timer);
    free(sleep);
}

static void on_awake(struct timer *timer)
{
    struct sleep_op *sleep = LIST_ENTRY(timer, struct sleep_op, timer);
    lua_pushboolean(op_state(&sleep->op), true);
    op_complete(&sleep->op, 1);
}

/* sleep(seconds) */
static int l_sleep(lua_State *L)
{
    struct vm *vm = task_check(L);
    uint64_t delay_ms = check_ms(L, 1);
    struct sleep_op *sleep = MEM_NEW(struct sleep_op);
    sleep->op.release = sleep_release;
    timer_start(vm->loop, &sleep->timer, delay_ms, on_awake);
    return task_wait(L, &sleep->op);
}

/* Where the caller of the caller's Lua shape stands. */
static void note_site(lua_State *L, struct task *task)
{
    lua_Debug where;
    for (int level = 1; lua_getstack(L, level, &where) != 0 && level < 8; level++) {
        if (lua_getinfo(L, "Sl", &where) == 0 || where.currentline < 0 ||
            strstr(where.source, "/moonloop/") != NULL)
            continue; /* our own shapes are no place a user would look */
        snprintf(task->site, sizeof(task->site), "%s:%d", where.short_src, where.currentline);
        return;
    }
}

/* spawn(handle, fn, ...): a child of the innermost scope of the running task. */
static int l_spawn(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    int nargs = lua_gettop(L) - 2;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (vm->current == NULL) {
        vm_push_error(L, "misuse", "spawn needs a running task to belong to");
        return lua_error(L);
    }
    struct task *task = task_new(vm, NULL, NULL);
    note_site(L, task);
    lua_pushlightuserdata(L, task);
    lua_rawseti(L, 1, 0);
    lua_pushvalue(L, 1);
    task->handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    luaL_checkstack(task->co, nargs + 1, "too many arguments");
    lua_xmove(L, task->co, nargs + 1);
    task_adopt(task, vm->current);
    task_start(task, nargs);
    return 0;
}

static struct task *handle_task(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    lua_rawgeti(L, index, 0);
    struct task *task = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return task;
}

/* True when waiting for `task` would wait for oneself, directly or in a ring of waits. */
static bool is_ring(struct task *waiter, struct task *task)
{
    for (struct scope *at = &waiter->root; at != NULL; at = at->parent)
        if (at->owner == task)
            return true;
    return false;
}

/* wait(handle): true when it has ended. */
static int l_wait(lua_State *L)
{
    struct task *task = handle_task(L, 1);
    if (task == NULL) {
        lua_pushboolean(L, true);
        return 1;
    }
    struct vm *vm = task_check(L);
    if (is_ring(vm->current, task)) {
        vm_push_error(L, "misuse", "a task cannot wait for itself or for one that it runs under");
        return lua_error(L);
    }
    return task_wait(L, task_wait_for(task));
}

/* cancel(handle, err) */
static int l_cancel(lua_State *L)
{
    struct task *task = handle_task(L, 1);
    lua_settop(L, 2);
    if (task != NULL)
        task_cancel(task, L);
    return 0;
}

/* status(handle): "ready", "running", "waiting" or nil when it has ended. */
static int l_status(lua_State *L)
{
    static const char *const names[] = {"ready", "running", "waiting", "waiting"};
    struct task *task = handle_task(L, 1);
    if (task == NULL)
        return 0;
    lua_pushstring(L, names[task->status <= TASK_ENDING ? task->status : TASK_ENDING]);
    return 1;
}

/* scope_enter(deadline or nil, fails_fast, is_shield) */
static int l_scope_enter(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    int64_t deadline_ms = lua_isnoneornil(L, 1) ? -1 : (int64_t)check_ms(L, 1);
    if (vm->current == NULL) {
        vm_push_error(L, "misuse", "a scope needs a running task");
        return lua_error(L);
    }
    lua_pushlightuserdata(L, scope_enter(vm->current, deadline_ms, lua_toboolean(L, 2),
                                         lua_toboolean(L, 3)));
    return 1;
}

static struct scope *check_scope(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
    return lua_touserdata(L, 1);
}

/* scope_cancel(scope, err) */
static int l_scope_cancel(lua_State *L)
{
    struct scope *scope = check_scope(L);
    lua_settop(L, 2);
    scope_cancel(scope, L);
    return 0;
}

struct join_op {
    struct op op;
    struct scope *scope;
};

static void join_release(struct op *op)
{
    struct join_op *join = (struct join_op *)op;
    join->scope->join = NULL;
    free(join);
}

/* scope_join(scope): waits for its children. Cancellation reaches them, not the wait. */
static int l_scope_join(lua_State *L)
{
    struct scope *scope = check_scope(L);
    if (scope->ntasks == 0) {
        lua_pushboolean(L, true);
        return 1;
    }
    if (!lua_isyieldable(L)) {
        vm_push_error(L, "misuse", "cannot wait for the children of a scope here: inside a callback "
                                   "of a C function");
        return lua_error(L);
    }
    struct join_op *join = MEM_NEW(struct join_op);
    join->op.release = join_release;
    join->op.is_shielded = true;
    join->scope = scope;
    scope->join = &join->op;
    return task_wait(L, &join->op);
}

/* scope_leave(scope): is_cancelled, reason or nil, first failure of a child or nil */
static int l_scope_leave(lua_State *L)
{
    struct scope *scope = check_scope(L);
    lua_pushboolean(L, scope->is_cancelled);
    if (scope->reason_ref != LUA_NOREF)
        lua_rawgeti(L, LUA_REGISTRYINDEX, scope->reason_ref);
    else
        lua_pushnil(L);
    if (scope->failure_ref != LUA_NOREF)
        lua_rawgeti(L, LUA_REGISTRYINDEX, scope->failure_ref);
    else
        lua_pushnil(L);
    scope_leave(scope);
    return 3;
}

/* now(): monotonic seconds */
static int l_now(lua_State *L)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec / 1e9);
    return 1;
}

/* is_task(): whether the caller runs in a task and may wait */
static int l_is_task(lua_State *L)
{
    lua_pushboolean(L, VM_UPVALUE(L)->current != NULL && lua_isyieldable(L));
    return 1;
}

/* wait_marker(): what a wait inside a user's coroutine yields to its resumer */
static int l_wait_marker(lua_State *L)
{
    lua_pushlightuserdata(L, VM_UPVALUE(L));
    return 1;
}

int luaopen_moonloop_core_task(lua_State *L)
{
    static const luaL_Reg functions[] = {{"sleep", l_sleep},
                                         {"spawn", l_spawn},
                                         {"wait", l_wait},
                                         {"cancel", l_cancel},
                                         {"status", l_status},
                                         {"scope_enter", l_scope_enter},
                                         {"scope_cancel", l_scope_cancel},
                                         {"scope_join", l_scope_join},
                                         {"scope_leave", l_scope_leave},
                                         {"now", l_now},
                                         {"is_task", l_is_task},
                                         {"wait_marker", l_wait_marker},
                                         {NULL, NULL}};
    vm_library(L, functions);
    return 1;
}
