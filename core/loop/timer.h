/*
 * timer.h - exact timers: a heap of due times above a single libuv timer.
 *
 * The struct is embedded in what waits, so that starting one allocates nothing but its heap place.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop;

struct timer {
    uint64_t due_ms;
    uint32_t place; /* in the heap, plus one; 0: not started */
    void (*on_due)(struct timer *timer);
};

/* A zeroed timer is one that is not started. Fires once, `delay_ms` from now or later, from the
 * loop; timers that are due in the same turn fire in order of due time, equal ones in order of
 * start. */
void timer_start(struct loop *loop, struct timer *timer, uint64_t delay_ms,
                 void (*on_due)(struct timer *timer));
/* The same, counted from this very moment and to the microsecond: it is never too early, and up to
 * a millisecond late. */
void timer_start_us(struct loop *loop, struct timer *timer, uint64_t delay_us,
                    void (*on_due)(struct timer *timer));
/* Harmless when it is not running. */
void timer_stop(struct loop *loop, struct timer *timer);
bool timer_is_running(const struct timer *timer);
/* How many are running on this loop, for leak checks. */
uint32_t timers_running(struct loop *loop);
