/*
 * loop_parts.h - what a loop carries for timer.c, deadline.c, offload.c and child_process.c. Private to this room.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct timer;
struct deadline_queue;
struct offload;
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
/* Sets the libuv timer under the heap; due_ms 0 stops it. */
void loop_arm_timers(struct loop *loop, uint64_t due_ms);
/* Starts or stops the tick that looks at the deadlines. */
void loop_arm_deadlines(struct loop *loop, bool is_on);

void timers_run(struct loop *loop, uint64_t now_ms);
void deadlines_run(struct loop *loop, uint64_t now_ms);
void deadlines_free(struct loop *loop);
void children_free(struct loop *loop);
