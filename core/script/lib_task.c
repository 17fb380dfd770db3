/*
 * moonloop.core.task: what lua/moonloop/task.lua builds structured concurrency from. Functions that
 * wait return `true, ...` or `false, error`; the Lua side raises.
 */
#include "script/task.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define SECONDS_MAX (86400.0 * 366)
#define SCOPE_NAME "moonloop.core.scope"

enum {
    SPAWN_ARGS_MAX = 200,
    SPAWN_LEVEL = 2, /* this function and spawn of lua/moonloop/task.lua are on top */
};

/* "apps/a.lua:12: sleep: expected 0 to 31622400 seconds, got -1" */
static int refuse_seconds(lua_State *L, int index)
{
    char site[TASK_SITE_BYTES], called[TASK_SITE_BYTES];
    int line, type = lua_type(L, index), top = lua_gettop(L);
    lua_pushliteral(L, "");
    if (task_find_call(L, site, &line, called)) {
        lua_pushfstring(L, "%s:%d: ", site, line);
        lua_pushfstring(L, *called != '\0' ? "%s: " : "%s", called);
    }
    lua_pushfstring(L, "expected 0 to %f seconds, got ", SECONDS_MAX);
    if (type == LUA_TNUMBER) {
        lua_pushvalue(L, index);
        lua_tostring(L, -1);
    } else {
        lua_pushfstring(L, type <= LUA_TNIL ? "%s" : "a %s", lua_typename(L, type));
    }
    lua_concat(L, lua_gettop(L) - top);
    vm_push_error(L, "misuse", "%s", lua_tostring(L, -1));
    return lua_error(L);
}

static uint64_t check_us(lua_State *L, int index)
{
    lua_Number seconds = lua_tonumber(L, index);
    if (lua_type(L, index) != LUA_TNUMBER || !(seconds >= 0 && seconds <= SECONDS_MAX))
        refuse_seconds(L, index);                /* also a NaN */
    return (uint64_t)ceil(seconds * 1e6 - 1e-4); /* 0.1 s are 100000 us, not one more */
}

static void sleep_release(struct op *op)
{
    timer_stop(op->task->vm->loop, &((struct own_op *)op)->timer);
}

static void on_awake(struct timer *timer)
{
    struct own_op *own = LIST_ENTRY(timer, struct own_op, timer);
    lua_pushboolean(op_state(&own->op), true);
    op_complete(&own->op, 1);
}

/* sleep(seconds) */
static int l_sleep(lua_State *L)
{
    struct vm *vm = task_check(L);
    uint64_t delay_us = check_us(L, 1);
    struct own_op *own = task_own_op(vm, sleep_release);
    timer_start_us(vm->loop, &own->timer, delay_us, on_awake);
    return task_wait(L, &own->op);
}

static struct scope_box *check_box(struct vm *vm, lua_State *L, int index)
{
    struct scope_box *box = vm_check_known(vm, L, index, vm->scope_meta, SCOPE_NAME);
    if (box->scope == NULL) /* nothing keeps it from the collector any more */
        vm_forget(vm, box);
    return box;
}

static int raise_left(lua_State *L)
{
    vm_push_error(L, "misuse", "the scope has been left already");
    return lua_error(L);
}

static void set_site(lua_State *L, struct task *task, const struct scope_box *box)
{
    if (box == NULL || !box->is_of_one_call) {
        task_find_site(L, SPAWN_LEVEL, task->site, &task->site_line);
        return;
    }
    memcpy(task->site, box->site, sizeof(task->site));
    task->site_line = box->site_line;
}

/* spawn(handle, scope or nil, fn, ...): a child of that scope, else of the running task's
 * innermost; with false for a scope it belongs to nobody, and ends by itself or when its handle is
 * cancelled. */
static int l_spawn(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    int nargs = lua_gettop(L) - 3;
    luaL_checktype(L, 1, LUA_TTABLE);
    bool is_detached = lua_isboolean(L, 2);
    const struct scope_box *box = is_detached || lua_isnil(L, 2) ? NULL : check_box(vm, L, 2);
    struct scope *home = box != NULL ? box->scope : NULL;
    luaL_checktype(L, 3, LUA_TFUNCTION);
    if (nargs > SPAWN_ARGS_MAX)
        return luaL_error(L, "spawn: at most %d arguments", SPAWN_ARGS_MAX);
    if (vm->current == NULL) {
        vm_push_error(L, "misuse",
                      "spawn needs a running task to belong to: call it in a handler "
                      "or in app:on_start, or use app:background");
        return lua_error(L);
    }
    if (home == NULL && box != NULL)
        return raise_left(L);
    lua_memory_set(&vm->memory, false); /* as task_holds */
    struct task *task = task_new(vm, NULL, NULL);
    set_site(L, task, box);
    task->has_one_result = box != NULL && box->is_of_one_call;
    lua_pushlightuserdata(L, task);
    lua_rawseti(L, 1, 0);
    lua_pushvalue(L, 1);
    task_set_handle(task, L);
    lua_checkstack(task->co, nargs + 1);
    lua_xmove(L, task->co, nargs + 1);
    if (is_detached)
        task->route = vm->current->route;
    else
        task_adopt(task, home != NULL ? home : vm->current->scope);
    task_start(task, nargs);
    lua_memory_set(&vm->memory, true);
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

/* wait(handle): true when it has ended. */
static int l_wait(lua_State *L)
{
    struct task *task = handle_task(L, 1);
    if (task == NULL) {
        lua_pushboolean(L, true);
        return 1;
    }
    struct vm *vm = task_check(L);
    if (task_is_ring(L, vm->current, task)) {
        vm_push_error(L, "deadlock", "this wait would never end: %s", lua_tostring(L, -1));
        return lua_error(L);
    }
    return task_wait_for_tasks(L, task_wait_for(vm, task));
}

/* cancel(handle, err) */
static int l_cancel(lua_State *L)
{
    struct task *task = handle_task(L, 1);
    lua_settop(L, 2);
    task_holds(L);
    if (task != NULL)
        task_cancel(task, L);
    return task_goes_on(L, 0);
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

/* scope_enter(deadline or nil, fails_fast, is_shield, is_of_one_call): a box for the functions
 * below. With the last one, tasks of the scope were spawned where it was entered, and their handles
 * take one result. */
static int l_scope_enter(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    int64_t deadline_us = lua_isnoneornil(L, 1) ? -1 : (int64_t)check_us(L, 1);
    if (vm->current == NULL) {
        vm_push_error(L, "misuse",
                      "a scope needs a running task: open it in a handler or in "
                      "app:on_start");
        return lua_error(L);
    }
    lua_settop(L, 4); /* the userdata comes behind all arguments, given or not */
    struct scope_box *box = lua_newuserdata(L, sizeof(*box));
    *box = (struct scope_box){.deadline_us = (uint64_t)deadline_us};
    luaL_getmetatable(L, SCOPE_NAME);
    lua_setmetatable(L, -2);
    box->is_of_one_call = lua_toboolean(L, 4);
    if (deadline_us >= 0 || box->is_of_one_call)
        task_find_site(L, 1, box->site, &box->site_line);
    task_holds(L);
    box->scope = scope_enter(vm->current, deadline_us, lua_toboolean(L, 2), lua_toboolean(L, 3));
    box->scope->box = box;
    lua_pushvalue(L, -1);
    box->scope->box_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return task_goes_on(L, 1);
}

/* The scope of a box, which only the task that entered it may leave. */
static struct scope *check_own_scope(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    struct scope *scope = check_box(vm, L, 1)->scope;
    if (scope == NULL) {
        raise_left(L);
        return NULL;
    }
    if (scope->owner != vm->current) {
        vm_push_error(L, "misuse", "only the task that entered a scope can leave it");
        lua_error(L);
    }
    return scope;
}

/* scope_cancel(scope, err): harmless on one that was left */
static int l_scope_cancel(lua_State *L)
{
    struct scope *scope = check_box(VM_UPVALUE(L), L, 1)->scope;
    lua_settop(L, 2);
    task_holds(L);
    if (scope != NULL)
        scope_cancel(scope, L);
    return task_goes_on(L, 0);
}

static void join_release(struct op *op)
{
    ((struct own_op *)op)->joined->join = NULL;
}

/* A child that waits, in a ring, for the task that now waits for it: the scope ends with that. */
static void cancel_ring(lua_State *L, struct scope *scope)
{
    if (!task_is_join_ring(L, scope))
        return;
    vm_push_error(L, "deadlock", "this wait would never end: %s", lua_tostring(L, -1));
    scope_cancel(scope, L);
    lua_pop(L, 1);
}

/* scope_join(scope): waits for its children. Cancellation reaches them, not the wait. True, and
 * true again when there were none; false and an error where it cannot wait: the scope has been
 * left then. */
static int l_scope_join(lua_State *L)
{
    struct scope *scope = check_own_scope(L);
    task_holds(L);
    scope_give_up_inner(scope);
    if (scope->ntasks == 0) {
        lua_pushboolean(L, true);
        lua_pushboolean(L, true);
        return task_goes_on(L, 2);
    }
    if (!lua_isyieldable(L)) {
        lua_pushboolean(L, false);
        task_refuse_wait(L);
        return task_goes_on(L, 2);
    }
    cancel_ring(L, scope);
    struct own_op *own = task_own_op(VM_UPVALUE(L), join_release);
    own->op.is_shielded = true;
    own->joined = scope;
    scope->join = &own->op;
    return task_wait_for_tasks(L, &own->op);
}

/* scope_leave(scope): is_cancelled, reason, has_failure, first failure of a child; without one, nil
 * or the list of those that failed after the scope was cancelled */
static int l_scope_leave(lua_State *L)
{
    struct scope *scope = check_own_scope(L);
    if (scope->ntasks != 0)
        return luaL_error(L, "a scope is left with tasks in it");
    task_holds(L);
    lua_pushboolean(L, scope->is_cancelled);
    lua_rawgeti(L, LUA_REGISTRYINDEX, scope->reason_ref);
    lua_pushboolean(L, scope->has_failure);
    lua_rawgeti(L, LUA_REGISTRYINDEX, scope->failure_ref);
    scope_leave(scope);
    return task_goes_on(L, 4);
}

/* scope_give_up(scope): leaves it with whatever it holds, cancelled */
static int l_scope_give_up(lua_State *L)
{
    struct scope *scope = check_own_scope(L);
    task_holds(L);
    scope_give_up(scope);
    return task_goes_on(L, 0);
}

/* site(): where the caller of moonloop's Lua stands in a file of a user's, or nil */
static int l_site(lua_State *L)
{
    char site[TASK_SITE_BYTES];
    int line;
    if (!task_find_site(L, 1, site, &line))
        return 0;
    lua_pushfstring(L, "%s:%d", site, line);
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

/* can_wait(): whether a wait can leave the caller's coroutine */
static int l_can_wait(lua_State *L)
{
    lua_pushboolean(L, lua_isyieldable(L));
    return 1;
}

/* refuse_wait(): gives up the wait that an inner coroutine has begun: false, why */
static int l_refuse_wait(lua_State *L)
{
    task_holds(L);
    lua_pushboolean(L, false);
    task_refuse_wait(L);
    return task_goes_on(L, 2);
}

/* coroutines(): the weak set of those that Lua must not resume */
static int l_coroutines(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, VM_UPVALUE(L)->coroutines_ref);
    return 1;
}

/* counts(): a table for leak checks */
static int l_counts(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    lua_createtable(L, 0, 5);
    lua_pushinteger(L, loop_waiting(vm->loop));
    lua_setfield(L, -2, "waits");
    lua_pushinteger(L, vm->ntasks);
    lua_setfield(L, -2, "tasks");
    lua_pushinteger(L, vm->nspare_tasks);
    lua_setfield(L, -2, "spare");
    lua_pushinteger(L, (lua_Integer)timers_running(vm->loop) - timer_is_running(&vm->ready_timer) -
                           timer_is_running(&vm->empty_timer)); /* the scheduler's own */
    lua_setfield(L, -2, "timers");
    lua_pushinteger(L, loop_handles(vm->loop));
    lua_setfield(L, -2, "handles");
    return 1;
}

static void make_coroutines(lua_State *L, struct vm *vm)
{
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    vm->coroutines_ref = luaL_ref(L, LUA_REGISTRYINDEX);
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
                                         {"scope_give_up", l_scope_give_up},
                                         {"site", l_site},
                                         {"is_task", l_is_task},
                                         {"can_wait", l_can_wait},
                                         {"refuse_wait", l_refuse_wait},
                                         {"coroutines", l_coroutines},
                                         {"counts", l_counts},
                                         {"wait_marker", l_wait_marker},
                                         {NULL, NULL}};
    make_coroutines(L, vm_of(L));
    vm_of(L)->scope_meta = vm_new_metatable(L, SCOPE_NAME, NULL);
    vm_library(L, functions);
    return 1;
}
