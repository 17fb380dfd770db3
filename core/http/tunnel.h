/*
 * tunnel.h - a connection that has left HTTP behind: after a 101 bytes go both ways as they are.
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
struct tunnel;

enum {
    TUNNEL_AHEAD_MAX = 64 * 1024,   /* bytes that nobody has taken; then the peer waits */
    TUNNEL_QUEUED_MAX = 256 * 1024, /* bytes that the peer has not taken; then the owner waits */
    TUNNEL_LINGER_MS = 5000,        /* for a peer to read the last bytes and to end its side */
};

enum tunnel_state {
    TUNNEL_OPEN,
    TUNNEL_ENDED, /* the peer has ended its side; what it sent before is still there */
    TUNNEL_LOST,  /* reset, or cut by the host */
};

struct tunnel_host {
    /* The peer has gone without a goodbye, or took nothing for too long. Optional. */
    void (*on_lost)(void *host);
    /* The stream is gone: the host may free what it has. */
    void (*on_closed)(void *host);
};

/* Takes the stream over. `send_deadlines`: how long a peer that takes nothing of what is queued is
 * put up with; NULL: for ever. */
struct tunnel *tunnel_open(struct loop *loop, struct stream *stream,
                           struct deadline_queue *send_deadlines, const struct tunnel_host *host,
                           void *host_data);
/* Whether the host still needs the stream: until it does not, a tunnel that was released is only
 * ended, not closed. */
void tunnel_hold(struct tunnel *tunnel, bool is_held);
/* Bytes that came behind the head of the upgrade. Calls on_change. */
void tunnel_feed(struct tunnel *tunnel, struct str bytes);

/* on_change: there are more bytes, or the end, or all that was queued has left; from the loop
 * only, never from within a function of the owner's. */
void tunnel_own(struct tunnel *tunnel, void (*on_change)(void *owner), void *owner);
enum tunnel_state tunnel_state(const struct tunnel *tunnel);
/* What came and was not taken. */
struct str tunnel_bytes(const struct tunnel *tunnel);
void tunnel_take(struct tunnel *tunnel, size_t count);
/* 0, or -errno when nothing can be sent any more. What the peer does not take is queued. */
int tunnel_write(struct tunnel *tunnel, struct str bytes);
bool tunnel_must_wait(const struct tunnel *tunnel);
/* Ends our side once what is queued has left; the peer may go on. */
void tunnel_end(struct tunnel *tunnel);
/* The owner lets go: what is queued still leaves, what comes is thrown away. NULL is fine. */
void tunnel_release(struct tunnel *tunnel);

/* Of the host: the connection is cut now; the owner hears of it. */
void tunnel_cut(struct tunnel *tunnel);
uint64_t tunnel_sent_bytes(const struct tunnel *tunnel);
