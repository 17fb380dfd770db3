/*
 * The state and the processor time of a thread: proc(5), /proc/PID/task/TID/stat;
 * pthread_getcpuclockid(3).
 */
#include "base/thread_share.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STAT_BYTES = 64 }; /* its number, its name of 15 bytes at most, its state */

void thread_share_init(struct thread_share *share)
{
    *share = (struct thread_share){.stat_fd = -1};
    if (pthread_getcpuclockid(pthread_self(), &share->clock) == 0)
        share->stat_fd = open("/proc/thread-self/stat", O_RDONLY | O_CLOEXEC);
}

void thread_share_deinit(struct thread_share *share)
{
    if (share->stat_fd >= 0)
        close(share->stat_fd);
    share->stat_fd = -1;
}

static uint64_t computed_ns(const struct thread_share *share)
{
    struct timespec time;
    if (clock_gettime(share->clock, &time) != 0)
        return 0;
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* It computes, or would. */
static bool is_ready(const struct thread_share *share)
{
    char text[STAT_BYTES + 1];
    ssize_t count = pread(share->stat_fd, text, STAT_BYTES, 0);
    text[count > 0 ? count : 0] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && strncmp(name_end, ") R", 3) == 0;
}

void thread_share_begin(struct thread_share *share)
{
    share->computed_ns = computed_ns(share);
}

uint64_t thread_share_take(struct thread_share *share, uint64_t passed_ms)
{
    uint64_t before_ns = share->computed_ns;
    if (share->stat_fd < 0)
        return passed_ms;
    share->computed_ns = computed_ns(share);
    uint64_t taken_ms = (share->computed_ns - before_ns) / 1000000;
    return is_ready(share) && taken_ms < passed_ms ? taken_ms : passed_ms;
}
