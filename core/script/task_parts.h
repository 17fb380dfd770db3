/*
 * task_parts.h - what the files of the task and of the scope share. Nobody else includes it.
 */
#pragma once

#include "script/task.h"

void scope_init(struct scope *scope, struct task *owner, struct scope *parent);
/* Gives back the deadline and the references, and clears Lua's handle. */
void scope_deinit(struct scope *scope);

/* Goes on with it, now when nothing runs, else later; the nargs are on top of its stack. */
void task_make_ready(struct task *task, int nargs);
/* Ends its wait because its innermost scope is cancelled. Only queues: nothing runs meanwhile. L is
 * the state that runs. */
void task_interrupt(struct task *task, lua_State *L);
/* The error of a wait where none is possible, on top of L. */
void task_push_unyieldable(lua_State *L);
/* The task, which runs, waits from now on. */
void op_begin(struct op *op, struct task *task, lua_State *L);
/* The wait is over, one way or another: releases what it held. */
void op_end(struct op *op);
/* Sees to it that the queue runs in the next turn of the loop, unless it runs already. */
void tasks_run_soon(struct vm *vm);

/* The error on top of L's stack ends that scope, as its first failure; later ones hang on that. */
void failure_end_scope(struct scope *home, lua_State *L);
/* The handle below the error on top of L's stack is kept, for failures_tell. */
void failure_hold(struct scope *home, lua_State *L);
/* Logs the failures of the task's children that no wait has raised, and forgets them. */
void failures_tell(struct task *task);

/* The task is over: what became of it goes into its handle, and to who waits for it. */
void task_end_handle(struct task *task);
