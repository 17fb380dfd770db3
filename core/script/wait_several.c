#include "script/wait_several.h"

#include "base/mem.h"
#include "loop/loop.h"
#include "script/task.h"

#include <stdlib.h>

enum { POOLED_PLACES = 8, SPARE_MAX = 256 };

struct several {
    struct op op; /* first, so that release can cast back */
    struct timer timer;
    struct several *next_spare;
    uint32_t count;
    uint32_t capacity;
    struct waiter places[];
};

static void release(struct op *op)
{
    struct several *several = (struct several *)op;
    struct vm *vm = op->task->vm;
    timer_stop(vm->loop, &several->timer);
    for (uint32_t i = 0; i < several->count; i++)
        waiter_leave(&several->places[i]);
    if (several->capacity == POOLED_PLACES && vm->nspare_several < SPARE_MAX) {
        several->next_spare = vm->spare_several;
        vm->spare_several = several;
        vm->nspare_several++;
    } else {
        free(several);
    }
}

static struct several *make(uint32_t capacity)
{
    struct several *several = mem_zeroed(sizeof(*several) + capacity * sizeof(struct waiter));
    several->op.release = release;
    several->capacity = capacity;
    for (uint32_t i = 0; i < capacity; i++)
        link_init(&several->places[i].link);
    return several;
}

struct several *several_new(struct vm *vm, uint32_t capacity)
{
    struct several *several = vm->spare_several;
    if (several != NULL && capacity <= POOLED_PLACES) {
        vm->spare_several = several->next_spare;
        vm->nspare_several--;
    } else {
        several = make(capacity <= POOLED_PLACES ? POOLED_PLACES : capacity);
    }
    several->count = 0;
    several->op.kind = WAIT_PASSIVE;
    return several;
}

void several_join(struct several *several, struct wait_queue *queue, int32_t tag)
{
    ENSURE(several->count < several->capacity);
    struct waiter *waiter = &several->places[several->count++];
    waiter->tag = tag;
    waiter->number = (int32_t)several->count;
    if (queue == NULL)
        return;
    waiter_join(waiter, queue, &several->op);
    if (queue->kind != WAIT_PASSIVE)
        several->op.kind = queue->kind;
}

static void on_time_up(struct timer *timer)
{
    struct several *several = LIST_ENTRY(timer, struct several, timer);
    lua_pushboolean(op_state(&several->op), false);
    op_complete(&several->op, 1);
}

void several_start_timer(struct several *several, struct vm *vm, uint64_t delay_us)
{
    timer_start_us(vm->loop, &several->timer, delay_us, on_time_up);
}

struct op *several_op(struct several *several)
{
    return &several->op;
}

void several_free_spare(struct vm *vm)
{
    while (vm->spare_several != NULL) {
        struct several *several = vm->spare_several;
        vm->spare_several = several->next_spare;
        free(several);
    }
    vm->nspare_several = 0;
}
