/*
 * cpu_count.h - how many processors this process may really use: what `auto` stands for.
 */
#pragma once

#include <stdint.h>

/* The smallest of affinity and the CPU quotas of our cgroup (version 2 and 1) and those around it,
 * rounded up; at least 1. */
uint32_t cpu_count(void);
