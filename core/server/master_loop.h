/*
 * master_loop.h - the master's event loop: one epoll, a few timers, nothing that can call app code.
 *
 * Not libuv: the master forks workers without exec, and what it forks must be easy to leave behind.
 * Watches and timers are embedded in what waits. Single-threaded.
 */
#pragma once

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct master_loop;

struct master_watch {
    int fd; /* -1: not started; borrowed */
    void (*on_ready)(struct master_watch *watch);
};

struct master_timer {
    struct link link; /* alone: not started */
    uint64_t due_ms;
    void (*on_due)(struct master_timer *timer);
};

/* NULL with errno set. */
struct master_loop *master_loop_new(void);
/* Watches and timers that are still started are forgotten. */
void master_loop_free(struct master_loop *loop);
/* In a forked worker, before anything else is closed there: the epoll is shared with the master, so
 * stopping a watch would stop it in the master. From here on watches stop without effect. */
void master_loop_disown(struct master_loop *loop);
/* Called after each callback of a watch or timer; NULL: nobody is. */
void master_loop_use_follower(struct master_loop *loop, void (*follow)(void *data), void *data);
/* Until master_loop_stop. */
void master_loop_run(struct master_loop *loop);
void master_loop_stop(struct master_loop *loop);
uint64_t master_now_ms(void); /* CLOCK_MONOTONIC */

void master_watch_init(struct master_watch *watch);
/* Calls on_ready while `fd` is readable or hung up. 0 or -errno. */
int master_watch_start(struct master_loop *loop, struct master_watch *watch, int fd,
                       void (*on_ready)(struct master_watch *watch));
/* Before the descriptor is closed. Harmless when not started; no call afterwards. */
void master_watch_stop(struct master_loop *loop, struct master_watch *watch);

void master_timer_init(struct master_timer *timer);
/* Starts it, or starts it anew. */
void master_timer_start(struct master_loop *loop, struct master_timer *timer, uint64_t delay_ms,
                        void (*on_due)(struct master_timer *timer));
void master_timer_stop(struct master_timer *timer);
bool master_timer_is_running(const struct master_timer *timer);
