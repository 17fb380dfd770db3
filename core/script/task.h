/*
 * task.h - tasks: pooled coroutines in a tree of scopes, and the one scheduler that resumes them.
 *
 * Every task was spawned in a scope (its home) and has a scope of its own (root); more are entered
 * and left while it runs. Cancelling a scope reaches all scopes below it except shielded ones; a
 * task whose innermost scope is cancelled has its wait interrupted, and every further wait raises
 * until the scope is left (level-triggered).
 *
 * A binding that waits does it in three steps, and every raise happens before anything is held:
 *   check    struct vm *vm = task_check(L);       raises outside a task, or in a cancelled one
 *   acquire  op = ...; op->release = release;     cannot raise, nor run out of memory
 *   wait     return task_wait(L, op);             release runs exactly once, before the resume
 * On resume the Lua caller gets what was pushed on op_state(): `true, ...` or `false, error`.
 */
#pragma once

#include "base/list.h"
#include "loop/loop.h"
#include "loop/timer.h"
#include "script/vm.h"
#include "script/wait_queue.h"

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

struct exchange;

enum { TASK_SITE_BYTES = 60 };

enum task_status {
    TASK_READY, /* new, or its wait is over */
    TASK_RUNNING,
    TASK_WAITING,
    TASK_ENDING, /* its function has ended, its children have not */
    TASK_DONE,
    TASK_FAILED,
    TASK_CANCELLED, /* failed because it was cancelled */
};

struct op {
    struct task *task;
    void (*release)(struct op *op); /* gives back what the wait held; frees the op */
    enum wait_kind kind;            /* WAIT_REAL, which is 0, unless it is none */
    bool is_shielded;               /* cancellation does not interrupt it */
};

/* What ends with a scope without being a task: a process, a subscription. */
struct scope_holding {
    struct link link;
    /* The scope was left, well or not; the holding is in it no more. Runs no Lua of a user's. */
    void (*on_scope_end)(struct scope_holding *holding);
};

struct scope {
    struct scope *parent; /* NULL: a task that nobody spawned, or a detached one */
    struct task *owner;
    struct link link;   /* in parent's scopes */
    struct link scopes; /* entered below this one */
    struct link tasks;  /* whose home this is */
    struct link holdings;
    uint32_t ntasks;
    struct timer deadline;
    struct op *join;       /* the owner waits for ntasks to be 0 */
    int reason_ref;        /* why it was cancelled: an error value */
    int failure_ref;       /* fails fast: the first failure of a child, or a list of those that came
                              after it was cancelled; else: handles that failed */
    struct scope_box *box; /* Lua's handle, kept from the collector; NULL for none */
    int box_ref;
    bool is_cancelled;
    bool is_shield;
    bool fails_fast;
    bool has_failure; /* failure_ref is the first failure, or those handles */
};

/* What Lua holds of a scope. */
struct scope_box {
    struct scope *scope;        /* NULL once it was left */
    uint64_t deadline_us;       /* as given */
    bool is_of_one_call;        /* such as map: whoever is spawned in it was spawned where it was
                                   entered, and has one result */
    int site_line;              /* the place in a user's file where it was entered */
    char site[TASK_SITE_BYTES]; /* "" for none */
};

/* What C wants to know of a task it started. */
struct task_owner {
    /* The function has ended: its results, or one error value, are the whole stack of task->co.
     * With status TASK_FAILED or TASK_CANCELLED the coroutine's frames are still there for a
     * traceback. */
    void (*on_end)(struct task *task, enum task_status status);
};

/* The op of the commonest waits, inside the task: one task waits for one thing at a time. */
struct own_op {
    struct op op;
    struct timer timer;   /* sleep, or how long it waits in a queue */
    struct waiter waiter; /* in one queue */
    struct scope *joined; /* join */
};

struct task {
    struct vm *vm;
    uint64_t serial; /* never used again in this VM; the struct is */
    lua_State *co;
    int co_ref;
    int handle_ref;  /* the Lua handle, LUA_NOREF for none */
    int handle_slot; /* where it is kept in the registry; as co_ref, for good */
    uint32_t route;  /* number plus one, for the scoreboard; 0: none. Inherited by children */
    struct task *next_spare;
    struct link alive;       /* in vm->alive */
    struct link ready;       /* in vm->ready */
    struct link link;        /* in home->tasks */
    struct wait_queue ended; /* those who wait for its end */
    struct link mutexes;     /* that it holds: struct wait_queue */
    struct scope root;
    struct scope *scope; /* innermost */
    struct scope *home;
    struct op *op;         /* what it waits for */
    lua_State *waiting_in; /* the coroutine, its own or a user's, that waits */
    struct own_op own;
    uint32_t exchange_serial; /* the exchange has ended when it has another */
    int nargs;                /* for the next resume, on top of co's stack */
    uint8_t status;           /* enum task_status */
    uint8_t end_status;       /* while TASK_ENDING */
    bool is_started;
    bool has_one_result;       /* at most, for its handle */
    bool is_nesting;           /* inside task_wait_for_tasks: its coroutine has not yielded */
    uint64_t begun_ms;         /* by the loop's clock */
    struct exchange *exchange; /* the request it works for, NULL for none; inherited by children */
    const struct task_owner *owner; /* NULL for none */
    void *data;                     /* the owner's */
    int site_line;
    char site[TASK_SITE_BYTES]; /* the file where it was spawned; "" for none */
};

/* Takes a task from the pool, without a home. Push the function and its arguments on task->co, then
 * task_start. */
struct task *task_new(struct vm *vm, const struct task_owner *owner, void *data);
/* Runs it now when nothing else runs in this VM, else as soon as that is over. */
void task_start(struct task *task, int nargs);
/* The table on top of L, which is popped, is its Lua handle. */
void task_set_handle(struct task *task, lua_State *L);
/* Makes it a child of that scope, before task_start. */
void task_adopt(struct task *task, struct scope *home);
/* Cancels it with the error value on top of L's stack, which is popped. */
void task_cancel(struct task *task, lua_State *L);
/* Cancels all, and lets them run until they wait for something else: clean-up that is shielded. */
void tasks_cancel_all(struct vm *vm, const char *code, const char *message);
/* Frees what is left, without running any Lua: only before the VM is closed. */
void tasks_kill_all(struct vm *vm);

/* The VM, when the running code may wait; raises otherwise. From here on, until it has waited,
 * Lua's memory comes from the reserve when there is no other (lua_memory.h): nothing may be lost by
 * a raise. Whoever does not wait after all returns task_goes_on. */
struct vm *task_check(lua_State *L);
/* The same; NULL with the error value pushed instead of a raise. */
struct vm *task_try_check(lua_State *L);
/* For a binding that does not wait: the same about memory. */
void task_holds(lua_State *L);
/* The end of it. `nresults`: handed on. */
int task_goes_on(lua_State *L, int nresults);
int task_wait(lua_State *L, struct op *op);
/* The same for what other tasks end. Those that are ready run first, in their order, from here:
 * when that was all there was to wait for, nothing yields. */
int task_wait_for_tasks(lua_State *L, struct op *op);
/* Takes the running task's own op, of the kind WAIT_PASSIVE, for the next task_wait. */
struct own_op *task_own_op(struct vm *vm, void (*release)(struct op *op));
/* An op that ends with `true` when that task has ended; for task_wait. */
struct op *task_wait_for(struct vm *vm, struct task *task);
/* Whether `waiter` would wait for ever: pushes "a waits for b, ..." and answers true. */
bool task_is_ring(lua_State *L, struct task *waiter, struct task *awaited);
/* The same for a place in a queue that has an owner. */
bool task_is_queue_ring(lua_State *L, struct task *waiter, const struct wait_queue *queue);
/* The same for the scope's owner, when it waits for the children. */
bool task_is_join_ring(lua_State *L, const struct scope *scope);
/* Gives up the wait that the running task has begun but cannot finish; pushes why. */
void task_refuse_wait(lua_State *L);
/* Pushes its name or "apps/a.lua:12". */
void task_push_name(lua_State *L, const struct task *task);
/* Where an op's results are pushed. */
lua_State *op_state(struct op *op);
/* Ends the wait with the nresults on top of op_state(): releases, then resumes, now or soon. */
void op_complete(struct op *op, int nresults);
/* Pushes `false, error` and completes. */
void op_fail(struct op *op, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Where in a user's file L, which runs one of our C functions, stands; false, and nothing changed,
 * when it stands in none. The frames below `level` are known to be ours. */
bool task_find_site(lua_State *L, int level, char site[TASK_SITE_BYTES], int *line);
/* The same with the function of moonloop's that is called there, "" for none. */
bool task_find_call(lua_State *L, char site[TASK_SITE_BYTES], int *line,
                    char called[TASK_SITE_BYTES]);
/* Pushes where it waits, "apps/a.lua:12 in sleep"; its name when no frame of a user's is there. */
void task_push_where(lua_State *L, const struct task *task);
/* Pushes what a wait of its that is cut short raises: the reason of its innermost scope with the
 * place. L runs: it is that of the task, of another, or the VM's own. */
void task_push_reason(lua_State *L, const struct task *task);

/* Where it stands or has failed, and where it was spawned, as text on top of L. */
void task_push_traceback(struct task *task, lua_State *L);
/* The task's error value with a traceback across spawn sites, as an error object on top of L. */
void task_push_failure(struct task *task, lua_State *L);

/* Enters a scope on the running task. `deadline_us` < 0: none. */
struct scope *scope_enter(struct task *task, int64_t deadline_us, bool fails_fast, bool is_shield);
/* The error value on top of L's stack is the reason; popped. Harmless on a cancelled scope. */
void scope_cancel(struct scope *scope, lua_State *L);
/* Its children must have ended; scopes inside it that nobody left are given up. */
void scope_leave(struct scope *scope);
/* Gives up the scopes inside it, without leaving it: their children become its own, cancelled. */
void scope_give_up_inner(struct scope *scope);
/* Keeps the holding until the scope ends or the holding's link is removed. */
void scope_hold(struct scope *scope, struct scope_holding *holding);
/* Leaves it whatever it holds: children go to the parent, cancelled. */
void scope_give_up(struct scope *scope);

int luaopen_moonloop_core_task(lua_State *L);
