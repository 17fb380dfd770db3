/*
 * loop_parts.h - what a loop carries for timer.c, deadline.c, offload.c, child_process.c and
 * file.c. Private to this room.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct timer;
struct deadline_queue;
struct offload;
struct virtual_time;
struct link;

struct timer_place {
    uint64_t due_ms; /* beside the pointer, so that comparing touches no timer */
    uint64_t start;  /* when it was started among all, to keep equals in order */
    struct timer *timer;
};

struct timer_heap {
    struct timer_place *places; /* a 4-ary heap by due time, then by start */
    uint32_t count;
    uint32_t cap;
    uint64_t started;  /* how many ever */
    uint64_t armed_ms; /* what the libuv timer is set to; 0: not set */
};

struct timer_heap *loop_timers(struct loop *loop);
struct deadline_queue **loop_deadlines(struct loop *loop);
/* The first of its thread pools. */
struct offload **loop_offloads(struct loop *loop);
/* The processes that it runs: struct child_process. */
struct link *loop_children(struct loop *loop);
/* How many operations on files are under way. */
uint32_t *loop_files(struct loop *loop);
/* Sets the libuv timer under the heap; due_ms 0 stops it. */
void loop_arm_timers(struct loop *loop, uint64_t due_ms);
/* Starts or stops the tick that looks at the deadlines. */
void loop_arm_deadlines(struct loop *loop, bool is_on);

/* Calls what is due by the loop's clock. */
void timers_run(struct loop *loop);
/* Adds to every due time, and arms libuv's timer anew. */
void timers_shift(struct loop *loop, int64_t shift_ms);
void deadlines_run(struct loop *loop);
void deadlines_shift(struct loop *loop, int64_t shift_ms);
/* The loop has stood still for so long. */
void deadlines_spare_peers(struct loop *loop, uint64_t held_ms);
/* When the first one strikes; UINT64_MAX: none runs. */
uint64_t deadlines_next_ms(struct loop *loop);
void deadlines_free(struct loop *loop);

/* NULL: the clocks are real. */
struct virtual_time **loop_virtual(struct loop *loop);
enum { VIRTUAL_HANDLES = 3 };
uint64_t virtual_now_us(const struct virtual_time *time);
int64_t virtual_wall_us(const struct virtual_time *time);
/* How many waits of each enum wait_kind are under way. */
const uint32_t *loop_waits(const struct loop *loop);
/* Of the first timer or deadline; UINT64_MAX: none. */
uint64_t loop_next_due_ms(struct loop *loop);
/* The clock has become another one: moves all due times, and lets libuv's timers rest under virtual
 * time or tells them what is next. */
void loop_set_clock(struct loop *loop, int64_t shift_ms);
void children_free(struct loop *loop);
