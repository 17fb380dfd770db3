/*
 * deadline.h - coarse deadlines: one FIFO per duration, looked at a few times a second.
 *
 * For limits that almost never strike (a request head within 10 s): starting and stopping one is a
 * list insertion, without a heap or a system call. Strikes up to 250 ms late, never early.
 */
#pragma once

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct deadline_queue;

struct deadline {
    struct link link;
    uint64_t due_ms;
    void (*on_due)(struct deadline *deadline);
};

/* The queue of all deadlines with this duration; made at the first call, lives with the loop. */
struct deadline_queue *deadline_queue(struct loop *loop, uint64_t duration_ms);
/* The same for what another machine has to do: time for which this loop stood still does not count,
 * since what came meanwhile was not looked at. */
struct deadline_queue *deadline_queue_of_peers(struct loop *loop, uint64_t duration_ms);

void deadline_init(struct deadline *deadline);
/* Starts it, or starts it anew. */
void deadline_start(struct deadline_queue *queue, struct deadline *deadline,
                    void (*on_due)(struct deadline *deadline));
void deadline_stop(struct deadline *deadline);
bool deadline_is_running(const struct deadline *deadline);
/* The one that strikes behind `after`, or first of all for NULL; NULL when there is none. A queue
 * may hold deadlines of others: `on_due` tells whose one is. */
struct deadline *deadline_next(struct deadline_queue *queue, const struct deadline *after);
