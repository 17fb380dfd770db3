/*
 * tunnel.h - makes a connection to a proxy one to the target behind it: CONNECT or SOCKS 5, then
 * TLS with the target if it is to be.
 *
 * Freed by itself when it is done or cancelled.
 */
#pragma once

#include "http/fetch.h"

struct proxy;
struct stream;
struct tls_context;
struct tunnel;

/* Borrowed until the tunnel is done. */
struct tunnel_target {
    const struct proxy *proxy;
    const char *host; /* of the target: a name or an address, without brackets */
    uint16_t port;
    struct tls_context *tls; /* NULL: plain */
};

struct tunnel_result {
    struct stream *stream; /* to be taken over with stream_set_owner; NULL: it failed */
    enum fetch_error error;
    const char *reason;  /* for people; names the proxy where it is at fault */
    bool had_ticket;     /* as of dial.h */
    uint64_t connect_us; /* until the proxy had the connection */
    uint64_t tls_us;
};

/* Takes the stream over, which is connected. on_done is called once, from the loop, never from
 * within this call. */
struct tunnel *tunnel_start(struct stream *stream, const struct tunnel_target *target,
                            void (*on_done)(void *owner, const struct tunnel_result *result),
                            void *owner);
/* Closes the stream at once; nothing is called any more. */
void tunnel_cancel(struct tunnel *tunnel);
/* FETCH_CONNECTING or FETCH_SHAKING_HANDS. */
enum fetch_stage tunnel_stage(const struct tunnel *tunnel);
