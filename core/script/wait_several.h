/*
 * wait_several.h - an op by which one task waits in several queues at once, until the first wake.
 *
 * Pooled per VM. Made, joined to queues and given to task_wait without anything that can raise in
 * between; gone once the wait is over.
 */
#pragma once

#include <stdint.h>

struct op;
struct several;
struct vm;
struct wait_queue;

/* For at most `capacity` queues. */
struct several *several_new(struct vm *vm, uint32_t capacity);
/* The next place, from number 1 on; it stays empty for a queue that is NULL. */
void several_join(struct several *several, struct wait_queue *queue, int32_t tag);
/* The wait ends with `false` when the time is up. */
void several_start_timer(struct several *several, struct vm *vm, uint64_t delay_us);
/* For task_wait. */
struct op *several_op(struct several *several);

/* Frees what the VM keeps for later. */
void several_free_spare(struct vm *vm);
