/*
 * Every deadline of one queue has the same duration, so its list is in due order and only its head
 * is looked at.
 */
#include "loop/deadline.h"

#include "base/mem.h"
#include "loop/loop.h"
#include "loop/loop_parts.h"

#include <stdlib.h>

struct deadline_queue {
    struct deadline_queue *next;
    struct loop *loop;
    uint64_t duration_ms;
    struct link waiting; /* in order of due_ms */
};

struct deadline_queue *deadline_queue(struct loop *loop, uint64_t duration_ms)
{
    struct deadline_queue **head = loop_deadlines(loop);
    for (struct deadline_queue *queue = *head; queue != NULL; queue = queue->next)
        if (queue->duration_ms == duration_ms)
            return queue;
    struct deadline_queue *queue = MEM_NEW(struct deadline_queue);
    queue->next = *head;
    queue->loop = loop;
    queue->duration_ms = duration_ms;
    link_init(&queue->waiting);
    return *head = queue;
}

void deadline_init(struct deadline *deadline)
{
    link_init(&deadline->link);
}

void deadline_start(struct deadline_queue *queue, struct deadline *deadline,
                    void (*on_due)(struct deadline *deadline))
{
    if (link_is_alone(&queue->waiting)) /* perhaps the tick was stopped for want of work */
        loop_arm_deadlines(queue->loop, true);
    link_remove(&deadline->link);
    deadline->due_ms = loop_now_ms(queue->loop) + queue->duration_ms;
    deadline->on_due = on_due;
    link_append(&queue->waiting, &deadline->link);
}

void deadline_stop(struct deadline *deadline)
{
    link_remove(&deadline->link);
}

bool deadline_is_running(const struct deadline *deadline)
{
    return !link_is_alone(&deadline->link);
}

struct deadline *deadline_next(struct deadline_queue *queue, const struct deadline *after)
{
    struct link *link = after != NULL ? after->link.next : queue->waiting.next;
    return link != &queue->waiting ? LIST_ENTRY(link, struct deadline, link) : NULL;
}

void deadlines_run(struct loop *loop)
{
    bool is_any_waiting = false;
    for (struct deadline_queue *queue = *loop_deadlines(loop); queue != NULL; queue = queue->next) {
        while (!link_is_alone(&queue->waiting)) {
            struct deadline *first = LIST_ENTRY(queue->waiting.next, struct deadline, link);
            if (first->due_ms > loop_now_ms(loop))
                break;
            link_remove(&first->link);
            first->on_due(first);
        }
        is_any_waiting |= !link_is_alone(&queue->waiting);
    }
    if (!is_any_waiting)
        loop_arm_deadlines(loop, false);
}

void deadlines_shift(struct loop *loop, int64_t shift_ms)
{
    for (struct deadline_queue *queue = *loop_deadlines(loop); queue != NULL; queue = queue->next)
        for (struct link *at = queue->waiting.next; at != &queue->waiting; at = at->next)
            LIST_ENTRY(at, struct deadline, link)->due_ms += (uint64_t)shift_ms;
}

uint64_t deadlines_next_ms(struct loop *loop)
{
    uint64_t next_ms = UINT64_MAX;
    for (struct deadline_queue *queue = *loop_deadlines(loop); queue != NULL; queue = queue->next) {
        struct link *first = queue->waiting.next;
        uint64_t due_ms = first != &queue->waiting
                              ? LIST_ENTRY(first, struct deadline, link)->due_ms
                              : UINT64_MAX;
        next_ms = due_ms < next_ms ? due_ms : next_ms;
    }
    return next_ms;
}

void deadlines_free(struct loop *loop)
{
    struct deadline_queue **head = loop_deadlines(loop);
    while (*head != NULL) {
        struct deadline_queue *queue = *head;
        *head = queue->next;
        free(queue);
    }
}
