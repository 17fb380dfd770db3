/*
 * oom_kills.h - which deaths the kernel's counter of those that it has killed for memory explains.
 *
 * The counter of our cgroup rises when the kernel chooses its victim, a little before that ends.
 * Each rise explains one death.
 */
#pragma once

#include "server/memory_group.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { OOM_TEXT_BYTES = 192 };

struct oom_kills {
    struct memory_group own;
    struct memory_group other; /* in which a worker died last that had one of its own */
    uint64_t explained;        /* of our own: by deaths, or told to the log */
    uint64_t other_explained;
    uint64_t seen; /* when it was looked at last */
};

void oom_kills_init(struct oom_kills *kills);
/* For a process that SIGKILL has ended and nobody has waited for yet: whether a rise explains it,
 * which is taken; `text` says so for people. */
bool oom_kills_explain(struct oom_kills *kills, pid_t pid, char text[OOM_TEXT_BYTES]);
/* Now and then: whether there has been a rise for one look that no death of a worker has explained;
 * `text` says so, once. */
bool oom_kills_look(struct oom_kills *kills, char text[OOM_TEXT_BYTES]);
