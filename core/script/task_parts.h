/*
 * task_parts.h - what task.c, scope.c and task_wait.c share. Nobody else includes it.
 */
#pragma once

#include "script/task.h"

void scope_init(struct scope *scope, struct task *owner, struct scope *parent);
/* Gives back the deadline and the references, and clears Lua's handle. */
void scope_deinit(struct scope *scope);

/* Goes on with it, now when nothing runs, else later; the nargs are on top of its stack. */
void task_make_ready(struct task *task, int nargs);
/* Ends its wait because its innermost scope is cancelled. Only queues: nothing runs meanwhile. */
void task_interrupt(struct task *task);
/* Sees to it that the queue runs in the next turn of the loop, unless it runs already. */
void tasks_run_soon(struct vm *vm);
