/*
 * stream.h - a connected socket, plain or TLS, as bytes in and bytes out.
 *
 * Owned by whoever opened or accepted it, on its loop's thread. stream_close is the only way out:
 * the owner hears on_close once, later, and nothing after it. Nobody above knows whether it is
 * encrypted.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ip_address;
struct loop;
struct sockaddr;
struct stream;
struct tls_context;

enum { STREAM_EOF = -4095 };

struct stream_events {
    /* Where the next bytes go. NULL or *len == 0: into a buffer shared by the loop's streams, valid
     * until on_read returns. Optional. */
    void (*on_alloc)(void *owner, char **ptr, size_t *len);
    /* bytes and nread > 0; or STREAM_EOF; or -errno. After the last two nothing more is read. */
    void (*on_read)(void *owner, char *bytes, ssize_t nread);
    /* All that was queued has left. Optional. */
    void (*on_drain)(void *owner);
    /* The handle is gone; the owner may free what the callbacks used. */
    void (*on_close)(void *owner);
    /* stream_connect, or the end of a handshake: 0 or -errno. The stream still has to be closed. */
    void (*on_connect)(void *owner, int status);
};

/* Takes over a connected descriptor. NULL on failure (the descriptor is closed). */
struct stream *stream_open(struct loop *loop, int fd, const struct stream_events *events,
                           void *owner);
/* Starts connecting; the answer comes through on_connect, never from within this call. NULL: no
 * descriptor could be had (errno). A unix address is given as sockaddr_un. */
struct stream *stream_connect(struct loop *loop, const struct sockaddr *address,
                              const struct stream_events *events, void *owner);
/* From now on everything is encrypted, as a client of `host` (a name or an address), to be called
 * on a stream that is connected; `port` is for the tickets of earlier sessions. The end of the
 * handshake comes through on_connect, never from within this call: 0, or -EPROTO with the reason in
 * stream_tls_reason. A stream whose peer ends it without a goodbye ends with -ECONNRESET. */
void stream_start_tls(struct stream *stream, struct tls_context *context, const char *host,
                      uint16_t port);
/* The same as a server, on a stream that was opened. Whoever begins with a plain request instead of
 * a handshake is told apart: on_connect has -EPROTONOSUPPORT, the stream is plain from then on, and
 * what came follows through on_read. */
void stream_accept_tls(struct stream *stream, struct tls_context *context);
bool stream_has_tls(const struct stream *stream);
/* As if these had just come from the socket: what was read ahead of TLS, or of another owner. */
void stream_feed(struct stream *stream, char *bytes, size_t len);
/* See tls_server.h; nothing for a plain stream. */
typedef void (*stream_describe_fn)(void *data, const char *what, struct str value);
void stream_describe_tls(const struct stream *stream, stream_describe_fn tell, void *data);
bool stream_describe_client(const struct stream *stream, stream_describe_fn tell, void *data);
/* See tls_server.h; false for a plain stream. */
bool stream_is_certified_for(const struct stream *stream, struct str host);
/* Also of -EPROTO from reading or writing. "" for a stream without TLS. */
const char *stream_tls_reason(const struct stream *stream);
/* The handshake tried to take up an earlier session: if it failed, another try will be without. */
bool stream_tls_had_ticket(const struct stream *stream);
/* Hands the stream to another owner. */
void stream_set_owner(struct stream *stream, const struct stream_events *events, void *owner);

/* Each harmless when it already is so. */
void stream_read_start(struct stream *stream);
void stream_read_stop(struct stream *stream);

/* Sends the pieces in order, directly where the socket takes them; what it does not take is copied
 * and queued. 0 or -errno; a failure means the connection is lost. */
int stream_write(struct stream *stream, const struct str *pieces, uint32_t npieces);
/* Whether nothing waits to be read from the socket, its end included: asked of the kernel. */
bool stream_is_quiet(const struct stream *stream);
/* Bytes accepted by stream_write that have not left yet. */
size_t stream_queued_bytes(const struct stream *stream);
/* What the other side has not received yet, in the kernel or before it: falls while a slow client
 * reads. Asks the kernel. */
size_t stream_unsent_bytes(const struct stream *stream);
/* Sends FIN once the queue has left. */
void stream_shutdown(struct stream *stream);
/* Safe twice and from any callback. Queued bytes are dropped. */
void stream_close(struct stream *stream);
/* The same, with a reset instead of an orderly end. */
void stream_reset(struct stream *stream);

/* The peer's address, without its port. False for a Unix socket. */
bool stream_peer(const struct stream *stream, struct ip_address *address);
