/*
 * loop.h - the event loop of one thread: libuv's loop, the exact timers, the coarse deadlines and
 * the clock that a turn of it reads once.
 *
 * Everything that is given a loop is used on the loop's own thread only; loop_wake is the
 * exception.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct fd_watch;

struct loop *loop_new(void);
/* Closes what is still open, runs the close callbacks, frees. */
void loop_free(struct loop *loop);
/* Until loop_stop, or until nothing is left to wait for. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Runs one turn without waiting; true while something is left to wait for. */
bool loop_turn(struct loop *loop);
/* Waits for one turn; the same answer. */
bool loop_turn_waiting(struct loop *loop);
/* From any thread or signal handler: ends the wait. */
void loop_wake(struct loop *loop);

/* CLOCK_MONOTONIC as of this turn; under virtual_time.h that clock. */
uint64_t loop_now_ms(const struct loop *loop);
/* The same clock, read now. */
uint64_t loop_precise_us(const struct loop *loop);
/* Since 1970, read now; under virtual time by that clock. */
int64_t loop_wall_us(const struct loop *loop);
/* Reads the clock anew: after work that took long. */
void loop_update_time(struct loop *loop);
/* The wall clock as an HTTP date, 29 bytes; formatted once a second. */
const char *loop_http_date(struct loop *loop);
/* Handles that are open, for leak checks. */
uint32_t loop_handles(const struct loop *loop);

/* What somebody waits for. Virtual time jumps only while nobody waits for anything real. */
enum wait_kind {
    WAIT_REAL,    /* a socket, a thread, a process */
    WAIT_LOCAL,   /* a conversation whose other end is on this loop */
    WAIT_PASSIVE, /* a timer, or somebody's doing: nothing is under way */
    WAIT_KINDS,
};
void loop_wait_begins(struct loop *loop, enum wait_kind kind);
void loop_wait_ends(struct loop *loop, enum wait_kind kind);
/* How many waits are under way, for leak checks. */
uint32_t loop_waiting(const struct loop *loop);

/* What a room above keeps for each loop, such as the names that it has looked up. `kind` is an
 * address that is nobody else's. */
struct loop_part {
    struct loop_part *next;
    const void *kind;
    /* The loop goes away: closes and frees it. */
    void (*free)(struct loop_part *part);
};
/* NULL: none of this kind. */
struct loop_part *loop_find_part(const struct loop *loop, const void *kind);
void loop_add_part(struct loop *loop, struct loop_part *part);

/* Calls on_readable whenever `fd` can be read; does not own the descriptor. */
struct fd_watch *fd_watch_start(struct loop *loop, int fd, void (*on_readable)(void *data),
                                void *data);
/* It keeps the loop running no more. */
void fd_watch_unref(struct fd_watch *watch);
void fd_watch_stop(struct fd_watch *watch); /* NULL is fine; no callback afterwards */
