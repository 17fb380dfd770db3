/*
 * moonloop.core.wait_queue: what lua/moonloop/sync/ builds channels, mutexes and the like from.
 *
 * What waits never raises, whatever happens: it returns `true, ...`, or `false, error`, or `false`
 * alone when the time is up. So the caller can take back what it has offered before it raises.
 */
#include "script/wait_queue.h"

#include "script/task.h"
#include "script/wait_several.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#define QUEUE_NAME "moonloop.core.wait_queue"
#define SECONDS_MAX (86400.0 * 366)

enum { NAME_BYTES = 48, LIMIT_MAX = INT32_MAX, PLACES_MAX = 250 };

struct queue_box {
    struct wait_queue queue; /* first: Lua reads its numbers in place */
    char name[NAME_BYTES];
};

/* Our Lua alone calls these, with what it keeps to itself; still no mistake may crash. */
static struct wait_queue *check_queue(lua_State *L, int index)
{
    struct queue_box *box = lua_touserdata(L, index);
    if (box != NULL && lua_getmetatable(L, index)) {
        bool is_queue = lua_rawequal(L, -1, lua_upvalueindex(2)) != 0;
        lua_pop(L, 1);
        if (is_queue)
            return &box->queue;
    }
    luaL_typerror(L, index, QUEUE_NAME);
    return NULL;
}

struct wait_queue *wait_queue_check(lua_State *L, int index)
{
    return &((struct queue_box *)luaL_checkudata(L, index, QUEUE_NAME))->queue;
}

/* new(name, limit): a queue of at most so many waiting tasks */
static int l_new(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    lua_Number limit = luaL_checknumber(L, 2);
    luaL_argcheck(L, limit >= 1 && limit <= LIMIT_MAX, 2, "expected 1 to 2147483647");
    struct queue_box *box = lua_newuserdata(L, sizeof(*box));
    strncpy(box->name, name, NAME_BYTES - 1);
    box->name[NAME_BYTES - 1] = '\0';
    wait_queue_init(&box->queue, box->name, (uint32_t)limit);
    box->queue.kind = WAIT_PASSIVE;
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_setmetatable(L, -2);
    return 1;
}

static int l_queue_gc(lua_State *L)
{
    wait_queue_deinit(&((struct queue_box *)lua_touserdata(L, 1))->queue);
    return 0;
}

/* ---- waiting ---- */

static bool is_seconds(lua_State *L, int index)
{
    lua_Number seconds = lua_tonumber(L, index);
    return lua_isnoneornil(L, index) ||
           (lua_type(L, index) == LUA_TNUMBER && seconds >= 0 && seconds <= SECONDS_MAX);
}

static int fail(lua_State *L)
{
    lua_pushboolean(L, false);
    lua_insert(L, -2);
    return task_goes_on(L, 2);
}

static int fail_full(lua_State *L, const struct wait_queue *queue)
{
    vm_push_error(L, "full", "%d tasks wait for the %s already, which is its limit (option queue)",
                  (int)queue->length, queue->name);
    return fail(L);
}

static int fail_seconds(lua_State *L)
{
    vm_push_error(L, "misuse", "expected 0 to %d seconds", (int)SECONDS_MAX);
    return fail(L);
}

static uint64_t to_us(lua_State *L, int index)
{
    return (uint64_t)ceil(lua_tonumber(L, index) * 1e6);
}

static void wait_release(struct op *op)
{
    struct own_op *own = (struct own_op *)op;
    timer_stop(op->task->vm->loop, &own->timer);
    waiter_leave(&own->waiter);
}

static void on_time_up(struct timer *timer)
{
    struct own_op *own = LIST_ENTRY(timer, struct own_op, timer);
    lua_pushboolean(op_state(&own->op), false);
    op_complete(&own->op, 1);
}

/* wait(queue, tag or nil, seconds or nil) */
static int l_wait(lua_State *L)
{
    struct wait_queue *queue = check_queue(L, 1);
    struct vm *vm = task_try_check(L);
    if (vm == NULL)
        return fail(L);
    if (wait_queue_is_full(queue))
        return fail_full(L, queue);
    if (!is_seconds(L, 3))
        return fail_seconds(L);
    struct op *op = wait_queue_join(queue, vm, (int32_t)lua_tointeger(L, 2));
    if (!lua_isnoneornil(L, 3)) {
        op->release = wait_release;
        timer_start_us(vm->loop, &((struct own_op *)op)->timer, to_us(L, 3), on_time_up);
    }
    return task_wait(L, op);
}

/* The queue at an index, or that of the end of the task whose handle is there; NULL: it has ended.
 */
static struct wait_queue *queue_or_task(lua_State *L, int index)
{
    if (!lua_istable(L, index))
        return check_queue(L, index);
    lua_rawgeti(L, index, 0);
    struct task *task = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return task != NULL ? &task->ended : NULL;
}

/* wait_several(seconds or nil, queue or task, tag, queue or task, tag, ...): true, number, ... */
static int l_wait_several(lua_State *L)
{
    int count = lua_gettop(L) / 2;
    luaL_argcheck(L, count <= PLACES_MAX, 1, "too many to wait for");
    for (int i = 0; i < count; i++)
        queue_or_task(L, 2 + 2 * i);
    struct vm *vm = task_try_check(L);
    if (vm == NULL)
        return fail(L);
    if (!is_seconds(L, 1))
        return fail_seconds(L);
    for (int i = 0; i < count; i++) {
        const struct wait_queue *queue = queue_or_task(L, 2 + 2 * i);
        if (queue != NULL && wait_queue_is_full(queue))
            return fail_full(L, queue);
    }
    struct several *several = several_new(vm, (uint32_t)count);
    for (int i = 0; i < count; i++)
        several_join(several, queue_or_task(L, 2 + 2 * i), (int32_t)lua_tointeger(L, 3 + 2 * i));
    if (!lua_isnoneornil(L, 1))
        several_start_timer(several, vm, to_us(L, 1));
    return task_wait(L, several_op(several));
}

/* ---- waking ---- */

/* wake(queue, value): the tag of the first waiter, which goes on with `true, value`; nil for none
 */
static int l_wake(lua_State *L)
{
    struct wait_queue *queue = check_queue(L, 1);
    int32_t tag;
    lua_settop(L, 2);
    task_holds(L);
    if (!wait_queue_wake(queue, L, 1, &tag))
        return task_goes_on(L, 0);
    lua_pushinteger(L, tag);
    return task_goes_on(L, 1);
}

/* wake_all(queue, value): how many */
static int l_wake_all(lua_State *L)
{
    struct wait_queue *queue = check_queue(L, 1);
    lua_settop(L, 2);
    task_holds(L);
    lua_pushinteger(L, (lua_Integer)wait_queue_wake_all(queue, L, 1));
    return task_goes_on(L, 1);
}

/* first(queue): the tag of the first waiter, nil for none */
static int l_first(lua_State *L)
{
    struct wait_queue *queue = check_queue(L, 1);
    if (link_is_alone(&queue->waiters))
        return 0;
    lua_pushinteger(L, LIST_ENTRY(queue->waiters.next, struct waiter, link)->tag);
    return 1;
}

/* ---- mutexes ---- */

/* lock(queue) */
static int l_lock(lua_State *L)
{
    struct wait_queue *queue = check_queue(L, 1);
    struct vm *vm = task_try_check(L);
    if (vm == NULL)
        return fail(L);
    if (queue->owner == NULL) {
        mutex_take(queue, vm->current);
        lua_pushboolean(L, true);
        return task_goes_on(L, 1);
    }
    if (queue->owner == vm->current) {
        vm_push_error(L, "deadlock", "this task holds the %s already: it would wait for itself",
                      queue->name);
        return fail(L);
    }
    if (task_is_queue_ring(L, vm->current, queue)) {
        vm_push_error(L, "deadlock", "this wait would never end: %s", lua_tostring(L, -1));
        return fail(L);
    }
    if (wait_queue_is_full(queue))
        return fail_full(L, queue);
    return task_wait(L, wait_queue_join(queue, vm, 0));
}

static int fail_outside(lua_State *L)
{
    vm_push_error(L, "misuse", "a mutex belongs to a task, and none runs here");
    return fail(L);
}

/* try_lock(queue): true, whether it was free */
static int l_try_lock(lua_State *L)
{
    struct wait_queue *queue = check_queue(L, 1);
    struct vm *vm = VM_UPVALUE(L);
    if (vm->current == NULL)
        return fail_outside(L);
    bool is_free = queue->owner == NULL;
    if (is_free)
        mutex_take(queue, vm->current);
    lua_pushboolean(L, true);
    lua_pushboolean(L, is_free);
    return 2;
}

/* unlock(queue) */
static int l_unlock(lua_State *L)
{
    struct wait_queue *queue = check_queue(L, 1);
    struct vm *vm = VM_UPVALUE(L);
    if (vm->current == NULL)
        return fail_outside(L);
    if (queue->owner == NULL) {
        vm_push_error(L, "misuse", "the %s is not locked", queue->name);
        return fail(L);
    }
    if (queue->owner != vm->current) {
        task_push_name(L, queue->owner);
        vm_push_error(L, "misuse", "the %s is held by another task: %s", queue->name,
                      lua_tostring(L, -1));
        return fail(L);
    }
    mutex_pass_on(queue);
    lua_pushboolean(L, true);
    return 1;
}

/* holder(queue): nil, or the name of the task that holds it and whether that is the caller */
static int l_holder(lua_State *L)
{
    struct wait_queue *queue = check_queue(L, 1);
    if (queue->owner == NULL)
        return 0;
    task_push_name(L, queue->owner);
    lua_pushboolean(L, queue->owner == VM_UPVALUE(L)->current);
    return 2;
}

/* A library whose functions know the metatable as well. */
static void add_functions(lua_State *L, struct vm *vm, const luaL_Reg *functions)
{
    lua_newtable(L);
    for (; functions->name != NULL; functions++) {
        lua_pushlightuserdata(L, vm);
        lua_pushvalue(L, -3);
        lua_pushcclosure(L, functions->func, 2);
        lua_setfield(L, -2, functions->name);
    }
}

int luaopen_moonloop_core_wait_queue(lua_State *L)
{
    static const luaL_Reg functions[] = {{"new", l_new},
                                         {"wait", l_wait},
                                         {"wait_several", l_wait_several},
                                         {"wake", l_wake},
                                         {"wake_all", l_wake_all},
                                         {"first", l_first},
                                         {"lock", l_lock},
                                         {"try_lock", l_try_lock},
                                         {"unlock", l_unlock},
                                         {"holder", l_holder},
                                         {NULL, NULL}};
    luaL_newmetatable(L, QUEUE_NAME);
    lua_pushcfunction(L, l_queue_gc);
    lua_setfield(L, -2, "__gc");
    add_functions(L, vm_of(L), functions);
    return 1;
}
