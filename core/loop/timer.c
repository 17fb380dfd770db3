/*
 * A 4-ary heap: a third of the depth of a binary one, and four children share a cache line.
 */
#include "loop/timer.h"

#include "base/mem.h"
#include "loop/loop.h"
#include "loop/loop_parts.h"

enum { FANOUT = 4 };

static bool is_before(const struct timer_place *a, const struct timer_place *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->start < b->start;
}

static void put(struct timer_heap *heap, uint32_t at, struct timer_place place)
{
    heap->places[at] = place;
    place.timer->place = at + 1;
}

/* Both move the hole at `at` to where `place` belongs, then fill it. */
static void sift_up(struct timer_heap *heap, uint32_t at, struct timer_place place)
{
    while (at > 0 && is_before(&place, &heap->places[(at - 1) / FANOUT])) {
        put(heap, at, heap->places[(at - 1) / FANOUT]);
        at = (at - 1) / FANOUT;
    }
    put(heap, at, place);
}

static void sift_down(struct timer_heap *heap, uint32_t at, struct timer_place place)
{
    for (;;) {
        uint32_t first = at * FANOUT + 1, least = first;
        if (first >= heap->count)
            break;
        for (uint32_t child = first + 1; child < first + FANOUT && child < heap->count; child++)
            if (is_before(&heap->places[child], &heap->places[least]))
                least = child;
        if (!is_before(&heap->places[least], &place))
            break;
        put(heap, at, heap->places[least]);
        at = least;
    }
    put(heap, at, place);
}

static void arm(struct loop *loop, struct timer_heap *heap)
{
    uint64_t due_ms = heap->count != 0 ? heap->places[0].due_ms : 0;
    /* One that is armed too early only wakes the loop for nothing: cheaper than re-arming each
     * time. */
    if (due_ms == heap->armed_ms || (due_ms > heap->armed_ms && heap->armed_ms != 0))
        return;
    heap->armed_ms = due_ms;
    loop_arm_timers(loop, due_ms);
}

static void start_at(struct loop *loop, struct timer *timer, uint64_t due_ms,
                     void (*on_due)(struct timer *timer))
{
    struct timer_heap *heap = loop_timers(loop);
    timer_stop(loop, timer);
    if (heap->count == heap->cap) {
        heap->cap = heap->cap != 0 ? heap->cap * 2 : 64;
        heap->places = mem_grow(heap->places, heap->cap * sizeof(*heap->places));
    }
    timer->due_ms = due_ms;
    timer->on_due = on_due;
    heap->count++;
    sift_up(heap, heap->count - 1, (struct timer_place){timer->due_ms, heap->started++, timer});
    arm(loop, heap);
}

void timer_start(struct loop *loop, struct timer *timer, uint64_t delay_ms,
                 void (*on_due)(struct timer *timer))
{
    start_at(loop, timer, loop_now_ms(loop) + delay_ms, on_due);
}

void timer_start_us(struct loop *loop, struct timer *timer, uint64_t delay_us,
                    void (*on_due)(struct timer *timer))
{
    uint64_t due_ms = loop_now_ms(loop);
    if (delay_us != 0)
        due_ms = (loop_precise_us(loop) + delay_us + 999) / 1000;
    start_at(loop, timer, due_ms, on_due);
}

void timer_stop(struct loop *loop, struct timer *timer)
{
    struct timer_heap *heap = loop_timers(loop);
    if (timer->place == 0)
        return;
    uint32_t at = timer->place - 1;
    ENSURE(at < heap->count && heap->places[at].timer == timer);
    struct timer_place last = heap->places[--heap->count];
    timer->place = 0;
    if (at < heap->count) {
        if (at > 0 && is_before(&last, &heap->places[(at - 1) / FANOUT]))
            sift_up(heap, at, last);
        else
            sift_down(heap, at, last);
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

uint32_t timers_running(struct loop *loop)
{
    return loop_timers(loop)->count;
}

void timers_shift(struct loop *loop, int64_t shift_ms)
{
    struct timer_heap *heap = loop_timers(loop);
    for (uint32_t i = 0; i < heap->count; i++) {
        heap->places[i].due_ms += (uint64_t)shift_ms;
        heap->places[i].timer->due_ms = heap->places[i].due_ms;
    }
    heap->armed_ms = 0;
    arm(loop, heap);
}

void timers_run(struct loop *loop)
{
    struct timer_heap *heap = loop_timers(loop);
    uint64_t last_start = heap->started; /* those started from here on wait for the next turn */
    heap->armed_ms = 0;
    while (heap->count != 0 && heap->places[0].due_ms <= loop_now_ms(loop) &&
           heap->places[0].start < last_start) {
        struct timer *timer = heap->places[0].timer;
        timer_stop(loop, timer);
        timer->on_due(timer);
    }
    arm(loop, heap);
}
