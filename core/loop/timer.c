/*
 * A 4-ary heap: a third of the depth of a binary one, and four children share a cache line.
 */
#include "loop/timer.h"

#include "base/mem.h"
#include "loop/loop.h"
#include "loop/loop_parts.h"

enum { FANOUT = 4 };

static bool is_before(const struct timer_heap *heap, uint32_t a, uint32_t b)
{
    uint64_t due_a = heap->timers[a]->due_ms, due_b = heap->timers[b]->due_ms;
    return due_a != due_b ? due_a < due_b : heap->starts[a] < heap->starts[b];
}

static void swap(struct timer_heap *heap, uint32_t a, uint32_t b)
{
    struct timer *timer = heap->timers[a];
    uint64_t start = heap->starts[a];
    heap->timers[a] = heap->timers[b];
    heap->starts[a] = heap->starts[b];
    heap->timers[b] = timer;
    heap->starts[b] = start;
    heap->timers[a]->place = a + 1;
    heap->timers[b]->place = b + 1;
}

static void sift_up(struct timer_heap *heap, uint32_t at)
{
    while (at > 0 && is_before(heap, at, (at - 1) / FANOUT)) {
        swap(heap, at, (at - 1) / FANOUT);
        at = (at - 1) / FANOUT;
    }
}

static void sift_down(struct timer_heap *heap, uint32_t at)
{
    for (;;) {
        uint32_t first = at * FANOUT + 1, least = at;
        for (uint32_t child = first; child < first + FANOUT && child < heap->count; child++)
            if (is_before(heap, child, least))
                least = child;
        if (least == at)
            return;
        swap(heap, at, least);
        at = least;
    }
}

static void arm(struct loop *loop, struct timer_heap *heap)
{
    uint64_t due_ms = heap->count != 0 ? heap->timers[0]->due_ms : 0;
    /* One that is armed too early only wakes the loop for nothing: cheaper than re-arming each time. */
    if (due_ms == heap->armed_ms || (due_ms > heap->armed_ms && heap->armed_ms != 0))
        return;
    heap->armed_ms = due_ms;
    loop_arm_timers(loop, due_ms);
}

void timer_start(struct loop *loop, struct timer *timer, uint64_t delay_ms,
                 void (*on_due)(struct timer *timer))
{
    struct timer_heap *heap = loop_timers(loop);
    timer_stop(loop, timer);
    if (heap->count == heap->cap) {
        heap->cap = heap->cap != 0 ? heap->cap * 2 : 64;
        heap->timers = mem_grow(heap->timers, heap->cap * sizeof(*heap->timers));
        heap->starts = mem_grow(heap->starts, heap->cap * sizeof(*heap->starts));
    }
    if (delay_ms > 0)
        loop_update_time(loop); /* this turn may be old: a handler that computed, then sleeps */
    timer->due_ms = loop_now_ms(loop) + delay_ms;
    timer->on_due = on_due;
    timer->place = heap->count + 1;
    heap->timers[heap->count] = timer;
    heap->starts[heap->count++] = heap->started++;
    sift_up(heap, timer->place - 1);
    arm(loop, heap);
}

void timer_stop(struct loop *loop, struct timer *timer)
{
    struct timer_heap *heap = loop_timers(loop);
    if (timer->place == 0)
        return;
    uint32_t at = timer->place - 1;
    ENSURE(at < heap->count && heap->timers[at] == timer);
    if (at != heap->count - 1)
        swap(heap, at, heap->count - 1);
    heap->count--;
    timer->place = 0;
    if (at < heap->count) {
        sift_up(heap, at);
        sift_down(heap, at);
    }
    if (heap->count == 0) { /* nothing may keep the loop alive */
        heap->armed_ms = 0;
        loop_arm_timers(loop, 0);
    }
}

bool timer_is_running(const struct timer *timer)
{
    return timer->place != 0;
}

void timers_run(struct loop *loop, uint64_t now_ms)
{
    struct timer_heap *heap = loop_timers(loop);
    uint64_t last_start = heap->started; /* those started from here on wait for the next turn */
    heap->armed_ms = 0;
    while (heap->count != 0 && heap->timers[0]->due_ms <= now_ms && heap->starts[0] < last_start) {
        struct timer *timer = heap->timers[0];
        timer_stop(loop, timer);
        timer->on_due(timer);
    }
    arm(loop, heap);
}
