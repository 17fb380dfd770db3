/*
 * probation.h - a generation that has just become live, and the one before it, in case that the new
 * one kills workers.
 */
#pragma once

#include "base/snapshot.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PROBATION_MS = 60 * 1000, /* so long a generation is new */
    PROBATION_DEATHS = 3,     /* of workers; then the one before it comes back */
};

struct probation {
    struct snapshot *former; /* NULL: none, there is nothing to go back to */
    uint64_t former_number;
    uint64_t began_ms;
    uint32_t deaths;
};

/* Another generation is live in the place of `former`, which it takes over. */
void probation_begin(struct probation *probation, struct snapshot *former, uint64_t number,
                     uint64_t now_ms);
void probation_deinit(struct probation *probation);
/* A worker of the new generation has crashed. True: it was the last that is put up with. */
bool probation_count(struct probation *probation, uint64_t now_ms);
/* The former generation, the caller's from now on. */
struct snapshot *probation_take_former(struct probation *probation);
