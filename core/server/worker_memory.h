/*
 * worker_memory.h - how much memory this process has, and when it gives some back.
 *
 * After a busy time what was freed lies between what is in use. A second in which nothing was asked
 * or answered is a good one to give the pages back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct scoreboard_slot;

struct worker_memory {
    uint64_t requests;   /* answered up to the last look */
    bool has_given_back; /* since the last request */
};

/* Resident; 0 when the kernel does not say. */
uint64_t worker_memory_bytes(void);
/* Once a second: gives back what is free, when the last one was quiet. */
void worker_memory_tend(struct worker_memory *memory, struct scoreboard_slot *slot);
