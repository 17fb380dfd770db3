#include "script/wait_queue.h"

#include "base/log.h"
#include "base/mem.h"
#include "loop/timer.h"
#include "script/task.h"

enum { WAKE_VALUES_MAX = 15 };

void wait_queue_init(struct wait_queue *queue, const char *name, uint32_t limit)
{
    *queue = (struct wait_queue){.name = name, .limit = limit};
    link_init(&queue->waiters);
    link_init(&queue->held);
}

void wait_queue_deinit(struct wait_queue *queue)
{
    while (!link_is_alone(&queue->waiters))
        waiter_leave(LIST_ENTRY(queue->waiters.next, struct waiter, link));
    link_remove(&queue->held);
    queue->owner = NULL;
}

bool wait_queue_is_full(const struct wait_queue *queue)
{
    return queue->length >= queue->limit;
}

/* ---- joining ---- */

void waiter_join(struct waiter *waiter, struct wait_queue *queue, struct op *op)
{
    waiter->queue = queue;
    waiter->op = op;
    link_append(&queue->waiters, &waiter->link);
    queue->length++;
}

void waiter_leave(struct waiter *waiter)
{
    if (waiter->queue == NULL)
        return;
    waiter->queue->length--;
    waiter->queue = NULL;
    link_remove(&waiter->link);
}

static void join_release(struct op *op)
{
    waiter_leave(&((struct own_op *)op)->waiter);
}

struct op *wait_queue_join(struct wait_queue *queue, struct vm *vm, int32_t tag)
{
    struct own_op *own = task_own_op(vm, join_release);
    own->op.kind = queue->kind;
    own->waiter.tag = tag;
    own->waiter.number = 0;
    waiter_join(&own->waiter, queue, &own->op);
    return &own->op;
}

/* ---- waking ---- */

/* Completing releases the op, which leaves this queue and any others. */
static void waiter_wake(struct waiter *waiter, lua_State *from, int nvalues)
{
    struct op *op = waiter->op;
    lua_State *co = op_state(op);
    int count = 1;
    ENSURE(nvalues <= WAKE_VALUES_MAX);
    lua_pushboolean(co, true);
    if (waiter->number != 0) {
        lua_pushinteger(co, waiter->number);
        count++;
    }
    if (nvalues != 0)
        lua_xmove(from, co, nvalues);
    op_complete(op, count + nvalues);
}

bool wait_queue_wake(struct wait_queue *queue, lua_State *from, int nvalues, int32_t *tag)
{
    if (link_is_alone(&queue->waiters)) {
        lua_pop(from, nvalues);
        return false;
    }
    struct waiter *first = LIST_ENTRY(queue->waiters.next, struct waiter, link);
    if (tag != NULL)
        *tag = first->tag;
    waiter_wake(first, from, nvalues);
    return true;
}

/* Bounded by how many there are now: a woken one may wait again before the next is woken. */
uint32_t wait_queue_wake_all(struct wait_queue *queue, lua_State *from, int nvalues)
{
    uint32_t left = queue->length, count = 0;
    int first = lua_gettop(from) - nvalues + 1;
    for (; left > 0 && !link_is_alone(&queue->waiters); left--, count++) {
        for (int i = 0; i < nvalues; i++)
            lua_pushvalue(from, first + i);
        wait_queue_wake(queue, from, nvalues, NULL);
    }
    lua_pop(from, nvalues);
    return count;
}

/* ---- mutexes ---- */

void mutex_take(struct wait_queue *queue, struct task *task)
{
    queue->owner = task;
    link_append(&task->mutexes, &queue->held);
}

void mutex_pass_on(struct wait_queue *queue)
{
    link_remove(&queue->held);
    queue->owner = NULL;
    if (link_is_alone(&queue->waiters))
        return;
    struct waiter *first = LIST_ENTRY(queue->waiters.next, struct waiter, link);
    mutex_take(queue, first->op->task);
    waiter_wake(first, NULL, 0);
}

void mutexes_give_up(struct task *task)
{
    lua_State *L = task->vm->L;
    while (!link_is_alone(&task->mutexes)) {
        struct wait_queue *queue = LIST_ENTRY(task->mutexes.next, struct wait_queue, held);
        task_push_name(L, task);
        log_warn("the task %s has ended holding the %s, which is unlocked now: use mutex:with(fn)",
                 lua_tostring(L, -1), queue->name);
        lua_pop(L, 1);
        mutex_pass_on(queue);
    }
}

void mutexes_forget(struct task *task)
{
    for (struct link *first; (first = link_take_first(&task->mutexes)) != NULL;) {
        struct wait_queue *queue = LIST_ENTRY(first, struct wait_queue, held);
        queue->owner = NULL;
    }
}
