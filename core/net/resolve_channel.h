/*
 * resolve_channel.h - a channel of c-ares on our loop: its sockets, its timer, and the answer codes
 * that it keeps to itself.
 */
#pragma once

#include "base/list.h"
#include "loop/timer.h"
#include "net/address.h"
#include "net/resolve_files.h"

#include <ares.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;

/* Answer codes (RFC 1035, 4.1.1) with which a server says that it cannot help. */
enum { RCODE_NONE = 0, RCODE_SERVFAIL = 2, RCODE_NOTIMP = 4, RCODE_REFUSED = 5 };

struct channel_options {
    const struct address *servers;
    uint32_t nservers;
    uint32_t first_server; /* of them, to begin with */
    uint32_t timeout_ms;   /* of the first try */
    uint32_t tries;        /* of each server */
};

struct channel {
    struct loop *loop;
    ares_channel ares;
    struct timer timer;
    struct link sockets;
    struct address servers[RESOLVE_SERVERS_MAX];
    uint32_t nservers;
    int rcode; /* the last that came: c-ares goes to the next server and forgets it */
    void (*on_progress)(struct channel *channel);
};

/* Reads no file. on_progress: from the loop, after c-ares has worked, when its callbacks were
 * called; the channel may be closed in it, unlike in those. */
void channel_open(struct channel *channel, struct loop *loop, const struct channel_options *options,
                  void (*on_progress)(struct channel *channel));
/* Closes its sockets; what was asked for is answered with ARES_EDESTRUCTION. */
void channel_close(struct channel *channel);
/* After something was asked: minds the time until the next try. */
void channel_go_on(struct channel *channel);
/* on_progress comes in the next turn. */
void channel_progress_soon(struct channel *channel);
