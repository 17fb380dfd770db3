/*
 * The scheduler. A task runs in slices: one lua_resume, from a start or the end of a wait to the next
 * wait or the end. Only one slice of a VM runs at a time; what becomes ready meanwhile is queued and
 * run when the slice is over, a bounded number of slices per turn of the loop.
 */
#include "script/task.h"

#include "base/mem.h"
#include "loop/loop.h"
#include "script/watchdog.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { SLICES_PER_TURN = 1000 };

static void run_ready(struct vm *vm);
static void finish(struct task *task);

/* ---- life ---- */

static void scope_init(struct scope *scope, struct task *owner, struct scope *parent)
{
    *scope = (struct scope){.owner = owner,
                            .parent = parent,
                            .reason_ref = LUA_NOREF,
                            .failure_ref = LUA_NOREF};
    link_init(&scope->link);
    link_init(&scope->scopes);
    link_init(&scope->tasks);
    if (parent != NULL)
        link_append(&parent->scopes, &scope->link);
}

static void set_co(struct task *task)
{
    lua_State *L = task->vm->L;
    task->co = lua_newthread(L);
    task->co_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

struct task *task_new(struct vm *vm, const struct task_owner *owner, void *data)
{
    struct task *task = vm->spare_tasks;
    if (task != NULL) {
        vm->spare_tasks = task->next_spare;
        vm->nspare_tasks--;
    } else {
        task = MEM_NEW(struct task);
        task->vm = vm;
        set_co(task);
    }
    vm->ntasks++;
    link_append(&vm->alive, &task->alive);
    link_init(&task->ready);
    link_init(&task->link);
    link_init(&task->waiters);
    scope_init(&task->root, task, NULL);
    task->scope = &task->root;
    task->home = NULL;
    task->op = NULL;
    task->handle_ref = LUA_NOREF;
    task->owner = owner;
    task->data = data;
    task->route = 0;
    task->exchange = NULL;
    task->is_started = false;
    task->status = TASK_READY;
    task->site[0] = '\0';
    return task;
}

static void task_recycle(struct task *task)
{
    struct vm *vm = task->vm;
    bool is_reusable = task->status == TASK_DONE && vm->nspare_tasks < VM_SPARE_TASKS;
    vm_task_gone(vm);
    link_remove(&task->alive);
    if (is_reusable) {
        lua_settop(task->co, 0);
        task->next_spare = vm->spare_tasks;
        vm->spare_tasks = task;
        vm->nspare_tasks++;
        return;
    }
    luaL_unref(vm->L, LUA_REGISTRYINDEX, task->co_ref);
    free(task);
}

void task_adopt(struct task *task, struct task *parent)
{
    struct scope *home = parent->scope;
    lua_State *L = task->vm->L;
    task->home = home;
    task->route = parent->route;
    task->exchange = parent->exchange;
    task->exchange_serial = parent->exchange_serial;
    task->root.parent = home;
    home->ntasks++;
    link_append(&home->tasks, &task->link);
    link_append(&home->scopes, &task->root.link);
    if (home->is_cancelled) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, home->reason_ref);
        scope_cancel(&task->root, L);
    }
}

void tasks_cancel_all(struct vm *vm, const char *code, const char *message)
{
    for (struct link *at = vm->alive.next; at != &vm->alive; at = at->next) {
        struct task *task = LIST_ENTRY(at, struct task, alive);
        vm_push_error(vm->L, code, "%s", message);
        scope_cancel(&task->root, vm->L);
    }
    run_ready(vm);
}

/* ---- slices ---- */

static void slice(struct task *task)
{
    struct vm *vm = task->vm;
    int nargs = task->nargs;
    ENSURE(vm->current == NULL);
    if (!task->is_started && task->scope->is_cancelled) {
        lua_settop(task->co, 0);
        lua_rawgeti(task->co, LUA_REGISTRYINDEX, task->scope->reason_ref);
        task->end_status = TASK_CANCELLED;
        finish(task);
        return;
    }
    vm->current = task;
    task->status = TASK_RUNNING;
    task->nargs = 0;
    task->is_started = true;
    vm_slice_begins(vm, task->route);
    int status = lua_resume(task->co, nargs);
    if (vm_slice_ends(vm))
        status = watchdog_after_slice(vm, task->co, status);
    vm->current = NULL;
    if (status == LUA_YIELD && task->op != NULL) {
        task->status = TASK_WAITING;
        lua_settop(task->co, 0);
        return;
    }
    if (status == LUA_YIELD) { /* by hand, with nobody to resume it */
        lua_settop(task->co, 0);
        vm_push_error(task->co, "misuse", "coroutine.yield outside of a coroutine");
    }
    task->end_status = status == 0                     ? TASK_DONE
                       : task->root.is_cancelled       ? TASK_CANCELLED
                                                       : TASK_FAILED;
    finish(task);
}

static void on_next_turn(struct timer *timer)
{
    struct vm *vm = LIST_ENTRY(timer, struct vm, ready_timer);
    run_ready(vm);
}

static void run_ready(struct vm *vm)
{
    int left = SLICES_PER_TURN;
    if (vm->is_running_ready || vm->current != NULL)
        return;
    vm->is_running_ready = true;
    while (!link_is_alone(&vm->ready) && left-- > 0) {
        struct task *task = LIST_ENTRY(vm->ready.next, struct task, ready);
        link_remove(&task->ready);
        slice(task);
    }
    vm->is_running_ready = false;
    if (!link_is_alone(&vm->ready) && !timer_is_running(&vm->ready_timer))
        timer_start(vm->loop, &vm->ready_timer, 0, on_next_turn);
}

static void make_ready(struct task *task, int nargs)
{
    struct vm *vm = task->vm;
    task->nargs = nargs;
    task->status = TASK_READY;
    if (vm->current == NULL && !vm->is_running_ready) {
        vm->is_running_ready = true;
        slice(task);
        vm->is_running_ready = false;
        if (link_is_alone(&vm->ready))
            return;
    } else {
        link_append(&vm->ready, &task->ready);
    }
    run_ready(vm);
}

void task_start(struct task *task, int nargs)
{
    make_ready(task, nargs);
}

/* ---- the end ---- */

struct wait_op {
    struct op op;
    struct link link; /* in the awaited task's waiters */
};

static void wait_release(struct op *op)
{
    struct wait_op *wait = (struct wait_op *)op;
    link_remove(&wait->link);
    free(wait);
}

void task_push_traceback(struct task *task, lua_State *L)
{
    if (task->is_started)
        luaL_traceback(L, task->co, NULL, 0);
    else
        lua_pushliteral(L, "(it had not begun)");
    for (struct task *at = task; at != NULL && at->site[0] != '\0';
         at = at->home != NULL ? at->home->owner : NULL) {
        lua_pushfstring(L, "\nspawned at %s", at->site);
        lua_concat(L, 2);
    }
}

void task_push_failure(struct task *task, lua_State *L)
{
    lua_State *main = task->vm->L;
    lua_rawgeti(main, LUA_REGISTRYINDEX, task->vm->wrap_error_ref);
    lua_pushvalue(task->co, -1);
    lua_xmove(task->co, main, 1);
    task_push_traceback(task, main);
    if (vm_pcall(main, 2, 1) != 0)
        ENSURE(lua_gettop(main) > 0); /* its own error is as good as any */
    if (L != main)
        lua_xmove(main, L, 1);
}

/* Moves results or the failure into the handle: [1..n], n, or err. */
static void fill_handle(struct task *task)
{
    lua_State *L = task->vm->L, *co = task->co;
    bool is_done = task->end_status == TASK_DONE;
    int count = lua_gettop(co);
    if (task->handle_ref == LUA_NOREF)
        return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->handle_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, task->handle_ref);
    task->handle_ref = LUA_NOREF;
    if (is_done) {
        lua_pushinteger(L, count);
        lua_setfield(L, -2, "n");
        for (int i = count; i > 0; i--) {
            lua_xmove(co, L, 1);
            lua_rawseti(L, -2, i);
        }
    } else {
        task_push_failure(task, L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, "err");
        if (task->home != NULL && !task->home->is_cancelled && task->home->fails_fast) {
            lua_pushvalue(L, -1);
            task->home->failure_ref = luaL_ref(L, LUA_REGISTRYINDEX);
            scope_cancel(task->home, L); /* pops the error */
        } else {
            lua_pop(L, 1);
        }
    }
    lua_pushstring(L, is_done ? "done" : task->end_status == TASK_FAILED ? "failed" : "cancelled");
    lua_setfield(L, -2, "state");
    lua_pushnil(L);
    lua_rawseti(L, -2, 0); /* no task behind it any more */
    lua_pop(L, 1);
}

static void leave_home(struct task *task)
{
    struct scope *home = task->home;
    link_remove(&task->root.link);
    if (home == NULL)
        return;
    link_remove(&task->link);
    task->home = NULL;
    if (--home->ntasks != 0)
        return;
    if (home->join != NULL) {
        struct op *join = home->join;
        lua_pushboolean(op_state(join), true);
        op_complete(join, 1);
    } else if (home == &home->owner->root && home->owner->status == TASK_ENDING) {
        finish(home->owner);
    }
}

/* The function has ended; so have the children when this runs for the last time. */
static void finish(struct task *task)
{
    struct vm *vm = task->vm;
    lua_State *L = vm->L;
    if (task->status != TASK_ENDING) {
        task->status = TASK_ENDING;
        while (task->scope != &task->root) /* left by an error that nobody caught */
            scope_leave(task->scope);
        if (task->owner != NULL)
            task->owner->on_end(task, task->end_status);
        if (task->root.ntasks != 0 && !task->root.is_cancelled) {
            vm_push_error(L, "cancelled", "the task that spawned this one has ended");
            scope_cancel(&task->root, L);
        }
    }
    if (task->root.ntasks != 0)
        return;
    fill_handle(task);
    timer_stop(vm->loop, &task->root.deadline);
    luaL_unref(L, LUA_REGISTRYINDEX, task->root.reason_ref);
    task->status = task->end_status;
    leave_home(task);
    while (!link_is_alone(&task->waiters)) {
        struct wait_op *wait = LIST_ENTRY(task->waiters.next, struct wait_op, link);
        lua_pushboolean(op_state(&wait->op), true);
        op_complete(&wait->op, 1);
    }
    task_recycle(task);
}

/* ---- waiting ---- */

struct vm *task_check(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    struct task *task = vm->current;
    if (task == NULL) {
        vm_push_error(L, "misuse", "this waits, and so needs a task: it was called while loading a "
                                   "file or outside of a handler");
        lua_error(L);
    }
    if (!lua_isyieldable(L)) {
        vm_push_error(L, "misuse", "cannot wait here: inside a callback of table.sort, string.gsub "
                                   "or another C function; wait before or after that call");
        lua_error(L);
    }
    if (task->scope->is_cancelled) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, task->scope->reason_ref);
        lua_error(L);
    }
    return vm;
}

int task_wait(lua_State *L, struct op *op)
{
    struct task *task = VM_UPVALUE(L)->current;
    op->task = task;
    task->op = op;
    if (L == task->co)
        return lua_yield(L, 0);
    /* In a coroutine of the user's own: its resumer passes the wait on (util/coroutines.lua). */
    lua_pushlightuserdata(L, task->vm);
    return lua_yield(L, 1);
}

lua_State *op_state(struct op *op)
{
    return op->task->co;
}

void op_complete(struct op *op, int nresults)
{
    struct task *task = op->task;
    task->op = NULL;
    op->release(op);
    make_ready(task, nresults);
}

void op_fail(struct op *op, const char *code, const char *format, ...)
{
    lua_State *L = op_state(op);
    va_list args;
    lua_pushboolean(L, false);
    va_start(args, format);
    const char *message = lua_pushvfstring(L, format, args);
    va_end(args);
    vm_push_error(L, code, "%s", message);
    lua_remove(L, -2);
    op_complete(op, 2);
}

/* ---- cancelling ---- */

/* Only queues: nothing runs while a cancellation spreads. A task that never began stays queued and
 * ends without beginning. */
static void interrupt(struct task *task)
{
    struct op *op = task->op;
    if (task->status != TASK_WAITING || op == NULL || op->is_shielded)
        return;
    lua_pushboolean(task->co, false);
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, task->scope->reason_ref);
    task->op = NULL;
    op->release(op);
    task->nargs = 2;
    task->status = TASK_READY;
    link_append(&task->vm->ready, &task->ready);
}

static void spread(struct scope *scope, lua_State *L)
{
    if (scope->is_cancelled)
        return;
    scope->is_cancelled = true;
    lua_pushvalue(L, -1);
    scope->reason_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    for (struct link *at = scope->scopes.next; at != &scope->scopes; at = at->next) {
        struct scope *inner = LIST_ENTRY(at, struct scope, link);
        if (!inner->is_shield)
            spread(inner, L);
    }
    if (scope->owner->scope == scope)
        interrupt(scope->owner);
}

void scope_cancel(struct scope *scope, lua_State *L)
{
    struct vm *vm = scope->owner->vm;
    spread(scope, L);
    lua_pop(L, 1);
    if (!link_is_alone(&vm->ready) && vm->current == NULL && !vm->is_running_ready &&
        !timer_is_running(&vm->ready_timer))
        timer_start(vm->loop, &vm->ready_timer, 0, on_next_turn);
}

void task_cancel(struct task *task, lua_State *L)
{
    scope_cancel(&task->root, L);
}

static void on_deadline(struct timer *timer)
{
    struct scope *scope = LIST_ENTRY(timer, struct scope, deadline);
    lua_State *L = scope->owner->vm->L;
    vm_push_error(L, "timeout", "the deadline has passed");
    scope_cancel(scope, L);
}

struct scope *scope_enter(struct task *task, int64_t deadline_ms, bool fails_fast, bool is_shield)
{
    struct scope *scope = MEM_NEW(struct scope), *outer = task->scope;
    lua_State *L = task->vm->L;
    scope_init(scope, task, outer);
    scope->fails_fast = fails_fast;
    scope->is_shield = is_shield;
    task->scope = scope;
    if (outer->is_cancelled && !is_shield) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, outer->reason_ref);
        scope_cancel(scope, L);
    }
    if (deadline_ms >= 0)
        timer_start(task->vm->loop, &scope->deadline, (uint64_t)deadline_ms, on_deadline);
    return scope;
}

void scope_leave(struct scope *scope)
{
    struct task *task = scope->owner;
    lua_State *L = task->vm->L;
    ENSURE(task->scope == scope && scope != &task->root && scope->ntasks == 0);
    timer_stop(task->vm->loop, &scope->deadline);
    luaL_unref(L, LUA_REGISTRYINDEX, scope->reason_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, scope->failure_ref);
    link_remove(&scope->link);
    task->scope = scope->parent;
    free(scope);
}

struct op *task_wait_for(struct task *task)
{
    struct wait_op *wait = MEM_NEW(struct wait_op);
    wait->op.release = wait_release;
    link_append(&task->waiters, &wait->link);
    return &wait->op;
}
