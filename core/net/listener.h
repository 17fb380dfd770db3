/*
 * listener.h - a listening socket that hands out accepted descriptors.
 *
 * Accepts itself instead of through libuv's listen queue: it can pause without losing a connection,
 * and running out of descriptors costs nobody a connection (they wait in the kernel's queue).
 */
#pragma once

#include <stdbool.h>

struct listener;
struct loop;

struct listener_events {
    /* Somebody waits; asked once a turn. False: not now; the owner has paused the listener. */
    bool (*may_accept)(void *owner);
    void (*on_accept)(void *owner, int fd); /* takes the descriptor over */
};

/* Borrows the listening descriptor; makes it non-blocking. */
struct listener *listener_open(struct loop *loop, int fd, const struct listener_events *events,
                               void *owner);
/* Connections then wait in the kernel's queue. Both harmless twice. */
void listener_pause(struct listener *listener);
void listener_resume(struct listener *listener);
/* No further one in this turn of the loop: before the next, may_accept is asked. */
void listener_yield(struct listener *listener);
/* A descriptor got free: had they run out, accepting goes on now instead of a little later. */
void listener_retry(struct listener *listener);
/* Accepts what is queued now, even when paused: before a socket is given up. */
void listener_accept_queued(struct listener *listener);
void listener_close(struct listener *listener);
