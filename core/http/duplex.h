/*
 * duplex.h - a connection that has left HTTP behind: after a 101 bytes go both ways as they are.
 *
 * Made of the stream of a server's or a client's connection; on the loop's thread. Two hold it: its
 * owner, who reads and writes, and its host, who counts the connection. It is freed when the owner
 * has let go and the stream is gone.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deadline_queue;
struct loop;
struct stream;
struct duplex;

enum {
    DUPLEX_AHEAD_MAX = 64 * 1024,   /* bytes that nobody has taken; then the peer waits */
    DUPLEX_QUEUED_MAX = 256 * 1024, /* bytes that the peer has not taken; then the owner waits */
    DUPLEX_LINGER_MS = 5000,        /* for a peer to read the last bytes and to end its side */
};

enum duplex_state {
    DUPLEX_OPEN,
    DUPLEX_ENDED, /* the peer has ended its side; what it sent before is still there */
    DUPLEX_LOST,  /* reset, or cut by the host */
};

struct duplex_host {
    /* The peer has gone without a goodbye, or took nothing for too long. Optional. */
    void (*on_lost)(void *host);
    /* The stream is gone: the host may free what it has. */
    void (*on_closed)(void *host);
};

/* Takes the stream over. `send_deadlines`: how long a peer that takes nothing of what is queued is
 * put up with; NULL: for ever. */
struct duplex *duplex_open(struct loop *loop, struct stream *stream,
                           struct deadline_queue *send_deadlines, const struct duplex_host *host,
                           void *host_data);
/* Whether the host still needs the stream: until it does not, a duplex that was released is only
 * ended, not closed. */
void duplex_hold(struct duplex *duplex, bool is_held);
/* Bytes that came behind the head of the upgrade. Calls on_change. */
void duplex_feed(struct duplex *duplex, struct str bytes);

/* on_change: there are more bytes, or the end, or all that was queued has left; from the loop
 * only, never from within a function of the owner's. */
void duplex_own(struct duplex *duplex, void (*on_change)(void *owner), void *owner);
enum duplex_state duplex_state(const struct duplex *duplex);
/* What came and was not taken; writable. Good until the next of these two calls, and no longer than
 * the on_change that told of it. */
struct str duplex_bytes(const struct duplex *duplex);
void duplex_take(struct duplex *duplex, size_t count);
/* 0, or -errno when nothing can be sent any more. What the peer does not take is queued. */
int duplex_write(struct duplex *duplex, struct str bytes);
/* The same for several pieces, which leave together: at most 4. */
int duplex_write_pieces(struct duplex *duplex, const struct str *pieces, uint32_t npieces);
bool duplex_must_wait(const struct duplex *duplex);
/* Ends our side once what is queued has left; the peer may go on. */
void duplex_end(struct duplex *duplex);
/* The owner has given the peer up: as if it had been lost. Calls on_change. */
void duplex_give_up(struct duplex *duplex);
/* The owner lets go: what is queued still leaves, what comes is thrown away. NULL is fine. */
void duplex_release(struct duplex *duplex);

/* Of the host: the connection is cut now; the owner hears of it. */
void duplex_cut(struct duplex *duplex);
uint64_t duplex_sent_bytes(const struct duplex *duplex);
