/*
 * Waiting: the check before, the yield, and the end of an operation.
 */
#include "script/task_parts.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- before ---- */

/* An error, say the watchdog's, struck between the start of a wait in an inner coroutine and its
 * yield to the task: the wait is still held and nobody waits. */
static void drop_lost_wait(struct task *task)
{
    if (task->op != NULL)
        op_end(task->op);
}

struct vm *task_try_check(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    struct task *task = vm->current;
    if (task == NULL) {
        vm_push_error(L, "misuse",
                      "this waits, and so needs a task: it was called while a file is loaded, or "
                      "outside of a handler; wait in a handler, or in app:on_start");
        return NULL;
    }
    if (!lua_isyieldable(L)) {
        task_push_unyieldable(L);
        return NULL;
    }
    drop_lost_wait(task);
    if (task->scope->is_cancelled) {
        task_push_reason(L, task);
        return NULL;
    }
    lua_memory_set(&vm->memory, false);
    return vm;
}

void task_holds(lua_State *L)
{
    lua_memory_set(&VM_UPVALUE(L)->memory, false);
}

int task_goes_on(lua_State *L, int nresults)
{
    lua_memory_set(&VM_UPVALUE(L)->memory, true);
    return nresults;
}

struct vm *task_check(lua_State *L)
{
    struct vm *vm = task_try_check(L);
    if (vm == NULL)
        lua_error(L);
    return vm;
}

void op_begin(struct op *op, struct task *task, lua_State *L)
{
    ENSURE(task->op == NULL);
    op->task = task;
    task->op = op;
    task->waiting_in = L;
    loop_wait_begins(task->vm->loop, op->kind);
}

int task_wait(lua_State *L, struct op *op)
{
    struct task *task = VM_UPVALUE(L)->current;
    op_begin(op, task, L);
    if (L == task->co)
        return lua_yield(L, 0);
    /* In a coroutine of the user's own: its resumer passes the wait on (coroutines.lua). */
    lua_pushlightuserdata(L, task->vm);
    return lua_yield(L, 1);
}

void task_refuse_wait(lua_State *L)
{
    struct task *task = VM_UPVALUE(L)->current;
    task_push_unyieldable(L);
    if (task != NULL)
        drop_lost_wait(task);
}

/* ---- after ---- */

lua_State *op_state(struct op *op)
{
    return op->task->co;
}

void op_end(struct op *op)
{
    struct task *task = op->task;
    ENSURE(task->op == op);
    task->op = NULL;
    loop_wait_ends(task->vm->loop, op->kind);
    op->release(op);
}

void op_complete(struct op *op, int nresults)
{
    struct task *task = op->task;
    op_end(op);
    task_make_ready(task, nresults);
}

/* The error is made on the VM's own stack: a suspended coroutine calls nothing. */
void op_fail(struct op *op, const char *code, const char *format, ...)
{
    lua_State *L = op->task->vm->L, *co = op_state(op);
    va_list args;
    va_start(args, format);
    const char *message = lua_pushvfstring(L, format, args);
    va_end(args);
    vm_push_error(L, code, "%s", message);
    lua_pushboolean(co, false);
    lua_xmove(L, co, 1);
    lua_pop(L, 1);
    op_complete(op, 2);
}

void task_interrupt(struct task *task, lua_State *L)
{
    struct op *op = task->op;
    if (task->status != TASK_WAITING || op == NULL || op->is_shielded)
        return;
    lua_pushboolean(task->co, false);
    task_push_reason(L, task);
    lua_xmove(L, task->co, 1);
    op_end(op);
    task->nargs = 2;
    task->status = TASK_READY;
    link_append(&task->vm->ready, &task->ready);
}

/* ---- for another task ---- */

struct own_op *task_own_op(struct vm *vm, void (*release)(struct op *op))
{
    struct own_op *own = &vm->current->own;
    drop_lost_wait(vm->current);
    own->op.task = vm->current;
    own->op.release = release;
    own->op.kind = WAIT_PASSIVE;
    own->op.is_shielded = false;
    own->joined = NULL;
    return own;
}

struct op *task_wait_for(struct vm *vm, struct task *task)
{
    return wait_queue_join(&task->ended, vm, 0);
}

void task_push_name(lua_State *L, const struct task *task)
{
    if (task->handle_ref != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, task->handle_ref);
        lua_pushliteral(L, "name");
        lua_rawget(L, -2);
        lua_remove(L, -2);
        if (lua_isstring(L, -1))
            return;
        lua_pop(L, 1);
    }
    if (task->site[0] != '\0')
        lua_pushfstring(L, "%s:%d", task->site, task->site_line);
    else
        lua_pushstring(L, task->exchange != NULL ? "the handler" : "the main task");
}
