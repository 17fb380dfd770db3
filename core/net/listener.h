/*
 * listener.h - a listening socket that hands out accepted descriptors.
 *
 * Accepts itself instead of through libuv's listen queue: it can pause without losing a connection,
 * and running out of descriptors costs nobody a connection (they wait in the kernel's queue).
 */
#pragma once

struct listener;
struct loop;

struct listener_events {
    void (*on_accept)(void *owner, int fd); /* takes the descriptor over */
};

/* Borrows the listening descriptor; makes it non-blocking. */
struct listener *listener_open(struct loop *loop, int fd, const struct listener_events *events,
                               void *owner);
/* Connections then wait in the kernel's queue. Both harmless twice. */
void listener_pause(struct listener *listener);
void listener_resume(struct listener *listener);
/* Accepts what is queued now, even when paused: before a socket is given up. */
void listener_accept_queued(struct listener *listener);
void listener_close(struct listener *listener);
