/*
 * memory_group.h - the cgroup that bounds the memory of a process, and what the kernel tells of it:
 * version 2 (memory.max, memory.events) and version 1 (memory.limit_in_bytes, memory.oom_control).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { MEMORY_GROUP_PATH_BYTES = 1024 };

struct memory_group_kind;

struct memory_group {
    const struct memory_group_kind *kind; /* NULL: none was found */
    char directory[MEMORY_GROUP_PATH_BYTES];
};

/* That of a process, 0 for this one. False where there is none that counts. */
bool memory_group_find(struct memory_group *group, pid_t pid);
/* Whether it is the top of what we see: in version 1 also that of each process that has ended. */
bool memory_group_is_root(const struct memory_group *group);
/* How often the kernel has killed a process of it, because it or another cgroup or the machine had
 * no memory. */
bool memory_group_oom_kills(const struct memory_group *group, uint64_t *count);
/* False: it has no limit of its own. */
bool memory_group_limit(const struct memory_group *group, uint64_t *bytes);
