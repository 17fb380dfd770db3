/*
 * worker_memory.h - how much memory this process has, when it gives some back, and that it goes
 * before the master when there is none left.
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
    uint32_t nshort;     /* looks in a row at which there was none for new requests */
    bool has_given_back; /* since the last request */
};

/* In a worker that has begun, while it is who the master is: when the kernel has to choose whom to
 * end for memory, it counts a tenth of all memory (or of the cgroup's) more for this process and
 * those it starts than for the master (proc(5), oom_score_adj). Without /proc nothing changes. */
void worker_memory_volunteer(void);
/* Resident; 0 when the kernel does not say. */
uint64_t worker_memory_bytes(void);
/* Once a second: gives back what is free, when the last one was quiet. */
void worker_memory_tend(struct worker_memory *memory, struct scoreboard_slot *slot);
/* New requests have been turned away for some seconds now, and nothing says that this will end:
 * Lua's allocator keeps the addresses that a handler once took, in pieces that nobody else can use.
 * Another process has it all. */
bool worker_memory_is_lost(const struct worker_memory *memory);
