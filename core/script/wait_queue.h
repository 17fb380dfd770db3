/*
 * wait_queue.h - tasks that wait for something, first come first served, until they are woken.
 *
 * A queue is embedded in what is waited for: a channel, a mutex, the end of a task, the output of a
 * process. It holds no value. Whoever wakes gives values to the first waiter, which is out of the
 * queue from that moment: when it is cancelled before it runs again, it still gets them, and raises
 * at its next wait. A wake is never lost. A cancelled waiter is out of the queue at once.
 *
 * A producer in C (on the loop's thread) wakes a consumer in Lua so:
 *   init      wait_queue_init(&queue, "output", 1000);
 *   consumer  struct vm *vm = task_check(L);                      in its lua_CFunction: may raise
 *             if (wait_queue_is_full(&queue)) raise `full` ...
 *             return task_wait(L, wait_queue_join(&queue, vm, 0));  gives `true, ...`
 *   producer  lua_pushlstring(vm->L, ...);
 *             if (!wait_queue_wake(&queue, vm->L, 1, NULL)) keep it for later
 *   end       wait_queue_wake_all(&queue, vm->L, 0), then wait_queue_deinit
 * Waking from the loop, outside of any task, runs the woken task before it returns: be ready for
 * calls into what you own, and for its end.
 */
#pragma once

#include "base/list.h"
#include "loop/loop.h"

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

struct op;
struct task;
struct vm;

struct wait_queue {
    uint32_t length; /* Lua reads these two in place: they stay the first */
    uint32_t limit;  /* of length; whoever joins looks */
    struct link waiters;
    const char *name;    /* for messages; NULL for the end of a task. Borrowed */
    struct task *owner;  /* whose doing ends the waits, when it is that of one task alone: rings */
    struct link held;    /* in the owner's mutexes, when it is one */
    enum wait_kind kind; /* WAIT_REAL; whoever inits sets WAIT_PASSIVE where only tasks wake */
};

/* One task's place in one queue. */
struct waiter {
    struct link link;
    struct wait_queue *queue; /* NULL: in none */
    struct op *op;
    int32_t tag;    /* the waiter's own, told to whoever wakes it */
    int32_t number; /* which of several that the task waits in, from 1; 0: the only one */
};

void wait_queue_init(struct wait_queue *queue, const char *name, uint32_t limit);
/* Whoever still waits is forgotten: only cancellation ends those waits. */
void wait_queue_deinit(struct wait_queue *queue);
bool wait_queue_is_full(const struct wait_queue *queue);
/* The queue that Lua made and holds at this index; raises when there is none. */
struct wait_queue *wait_queue_check(lua_State *L, int index);

/* Takes the running task's own op, at the end of the queue; for task_wait. */
struct op *wait_queue_join(struct wait_queue *queue, struct vm *vm, int32_t tag);
/* Pops nvalues (at most 15) off `from`; the first waiter goes on with `true, values`, or with
 * `true, number, values` when it waits in several. False when nobody waits: they are popped, too.
 */
bool wait_queue_wake(struct wait_queue *queue, lua_State *from, int nvalues, int32_t *tag);
/* The same for all that wait now, with copies; how many. */
uint32_t wait_queue_wake_all(struct wait_queue *queue, lua_State *from, int nvalues);

/* Parts of the above, for an op with waiters of its own. */
void waiter_join(struct waiter *waiter, struct wait_queue *queue, struct op *op);
void waiter_leave(struct waiter *waiter);

/* A mutex is a queue with an owner. */
void mutex_take(struct wait_queue *queue, struct task *task);
/* Gives it to the first waiter, if there is one. */
void mutex_pass_on(struct wait_queue *queue);
/* The task's function has ended: what it held is passed on, with a warning in the log. */
void mutexes_give_up(struct task *task);
/* The same without waking anyone: before the VM is closed. */
void mutexes_forget(struct task *task);

int luaopen_moonloop_core_wait_queue(lua_State *L);
