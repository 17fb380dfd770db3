/*
 * stream_state.h - the inside of a stream, for stream.c and stream_tls.c. Private to this room.
 */
#pragma once

#include "net/stream.h"

#include <uv.h>

struct stream_tls;

struct stream {
    const struct stream_events *events;
    void *owner;
    size_t queued_bytes;
    struct loop *loop;
    struct stream_tls *tls; /* NULL: plain */
    int fd;                 /* -1: none yet */
    bool is_connecting;
    bool is_reading;
    bool is_closing;
    bool is_shutdown; /* wanted, once the queue is empty */
#ifdef STRESS
    uint32_t nreads;
#endif
    union { /* last: only as much is allocated as its kind needs */
        uv_handle_t handle;
        uv_stream_t base;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
};

/* Below TLS: to the socket. 0 or -errno. */
int stream_write_raw(struct stream *stream, const struct str *pieces, uint32_t npieces);
/* Reads from the socket or stops it, whatever the owner wants. */
void stream_read_raw(struct stream *stream, bool is_on);

/* stream_tls.c: what stream.c hands on when a stream has TLS. */
void stream_tls_read(struct stream *stream, char *bytes, ssize_t nread);
void stream_tls_read_start(struct stream *stream);
void stream_tls_read_stop(struct stream *stream);
int stream_tls_write(struct stream *stream, const struct str *pieces, uint32_t npieces);
/* The last words, as far as the socket takes them. */
void stream_tls_say_goodbye(struct stream *stream);
void stream_tls_free(struct stream *stream);
