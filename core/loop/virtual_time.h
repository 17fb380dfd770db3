/*
 * virtual_time.h - a clock that jumps, for specs: when nobody waits for anything real, the loop's
 * clock goes to the next timer at once, so that an hour of timers passes in milliseconds.
 *
 * While it is on, timers and deadlines of the loop, those that were started before among them, go
 * by the virtual clock. It stands still while code runs, jumps while everything waits for timers or
 * for each other, and runs with the real one while something real is waited for: a socket, a
 * thread, a process. What code waits for is told with loop_wait_begins and loop_wait_ends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop;

/* Turns it on: the monotonic clock goes on from here, the wall clock from `wall_us` (since 1970).
 * `on_stuck` is called, from the loop, when everything waits and no timer and nothing real is left;
 * again when it has not helped. -EBUSY when it is on already. */
int virtual_time_start(struct loop *loop, int64_t wall_us, void (*on_stuck)(void *data),
                       void *data);
/* Back to the real clocks: timers that still run keep what is left of their time. */
void virtual_time_stop(struct loop *loop);
bool virtual_time_is_on(struct loop *loop);
