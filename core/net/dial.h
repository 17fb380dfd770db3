/*
 * dial.h - from the name of a server to a stream that is ready for use: resolves, connects, shakes
 * hands if it is to be TLS.
 *
 * Of several addresses the first that answers is taken (happy eyeballs, RFC 8305): they are tried
 * in the order of address_order.h, the next one when the last has failed or has not answered for
 * DIAL_ATTEMPT_MS; the others are closed. IPv6 gets DIAL_SIX_MS to be resolved after IPv4 was.
 *
 * Freed by itself when it is done or cancelled.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct dial;
struct loop;
struct resolver;
struct stream;
struct tls_context;

enum { DIAL_ATTEMPT_MS = 250, DIAL_SIX_MS = 50 };
enum dial_stage { DIAL_RESOLVING, DIAL_CONNECTING, DIAL_SHAKING_HANDS, DIAL_STAGES };
/* DIAL_CLOSED: the connection was opened, and reset before it could be used. */
enum dial_error { DIAL_OK, DIAL_BAD_NAME, DIAL_REFUSED, DIAL_CLOSED, DIAL_BAD_TLS };

/* Borrowed until the dial is done. */
struct dial_target {
    const char *host; /* a name or a literal address; not used with the next two but for TLS */
    uint16_t port;
    struct resolver *resolver;      /* for a name */
    const char *unix_path;          /* NULL: not a Unix socket */
    int (*open_socket)(void *data); /* NULL: none. Gives a connected descriptor or -errno */
    void *open_data;
    struct tls_context *tls; /* NULL: plain */
};

struct dial_result {
    struct stream *stream; /* to be taken over with stream_set_owner; NULL: it failed */
    enum dial_error error;
    const char *reason; /* for people */
    bool had_ticket; /* of an earlier TLS session: it may have failed for that, the next has none */
    uint64_t took_us[DIAL_STAGES]; /* each stage that was gone through */
};

/* on_done is called once, from the loop, never from within this call. */
struct dial *dial_start(struct loop *loop, const struct dial_target *target,
                        void (*on_done)(void *owner, const struct dial_result *result),
                        void *owner);
/* Closes the socket at once; nothing is called any more. */
void dial_cancel(struct dial *dial);
/* Adds what it waits for, and what has failed so far, for people; nothing where the stage says it
 * all. */
void dial_describe(const struct dial *dial, struct buf *text);
enum dial_stage dial_stage(const struct dial *dial);
