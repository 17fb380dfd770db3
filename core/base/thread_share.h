/*
 * thread_share.h - how much of the time that passed a thread has taken: all of it while it waits in
 * a system call, and what it computed while it was ready to. That others had the processors, or
 * that a quota of the cgroup held it back, is not its doing.
 *
 * Begun on the thread itself, then asked by one other.
 */
#pragma once

#include <stdint.h>
#include <time.h>

struct thread_share {
    int stat_fd; /* -1: /proc does not tell, and everything counts */
    clockid_t clock;
    uint64_t computed_ns; /* as of the last look */
};

void thread_share_init(struct thread_share *share);
void thread_share_deinit(struct thread_share *share);
/* From now on it is counted. */
void thread_share_begin(struct thread_share *share);
/* How much of the last `passed_ms` it has taken, since thread_share_begin or the last call. */
uint64_t thread_share_take(struct thread_share *share, uint64_t passed_ms);
