/*
 * TLS between a stream's owner and its socket. Reading stops at the socket when the owner stops it;
 * what was decrypted or received by then waits here and is handed out from the loop later.
 */
#include "base/list.h"
#include "base/mem.h"
#include "loop/timer.h"
#include "net/stream_state.h"
#include "net/tls.h"
#include "net/tls_client.h"
#include "net/tls_server.h"

#include <errno.h>
#include <stdlib.h>

enum { PLAIN_BYTES = 16 * 1024, WRITE_SLICE_BYTES = 64 * 1024 };

struct stream_tls {
    struct stream *stream;
    struct tls *session;
    struct timer later; /* the handshake begins, or what waits here is handed out */
    ssize_t end;        /* what the socket ended with; 0: not yet */
    bool is_listening;  /* a server's, and no byte has come yet */
    bool is_shaking_hands;
    bool has_shaken_hands; /* with success */
    bool is_wanted;        /* the owner reads */
    bool is_ended;         /* the owner knows the end */
};

static _Thread_local char plain[PLAIN_BYTES];

static int flush(struct stream *stream)
{
    struct str output = tls_output(stream->tls->session);
    int status = output.len != 0 ? stream_write_raw(stream, &output, 1) : 0;
    tls_sent(stream->tls->session);
    return status;
}

/* ---- the handshake ---- */

static void end_handshake(struct stream *stream, int status)
{
    stream->tls->is_shaking_hands = false;
    stream->tls->has_shaken_hands = status == 0;
    if (status != 0)
        tls_drop_tickets(stream->tls->session);
    if (!stream->tls->is_wanted)
        stream_read_raw(stream, false);
    stream->events->on_connect(stream->owner, status);
}

static void shake_hands(struct stream *stream)
{
    enum tls_result result = tls_shake_hands(stream->tls->session);
    int status = flush(stream); /* also an alert that says why not */
    if (result == TLS_MORE && status == 0 && stream->tls->end == 0)
        stream_read_raw(stream, true);
    else if (result == TLS_OK && status == 0)
        end_handshake(stream, 0);
    else
        end_handshake(stream, -EPROTO);
}

const char *stream_tls_reason(const struct stream *stream)
{
    if (stream->tls == NULL)
        return "";
    const char *reason = tls_reason(stream->tls->session);
    if (*reason != '\0' || stream->tls->has_shaken_hands)
        return reason;
    return "the connection was closed in the middle of the handshake";
}

bool stream_tls_had_ticket(const struct stream *stream)
{
    return stream->tls != NULL && tls_had_ticket(stream->tls->session);
}

/* ---- reading ---- */

static void tell_end(struct stream *stream, ssize_t end)
{
    stream->tls->is_ended = true;
    stream_read_raw(stream, false);
    stream->events->on_read(stream->owner, NULL, end);
}

/* Hands out what there is, as long as the owner wants it. */
static void deliver(struct stream *stream)
{
    struct stream_tls *tls = stream->tls;
    while (tls->is_wanted && !tls->is_ended && !stream->is_closing) {
        size_t len = 0;
        switch (tls_read(tls->session, plain, sizeof(plain), &len)) {
        case TLS_OK:
            stream->events->on_read(stream->owner, plain, (ssize_t)len);
            break;
        case TLS_END:
            tell_end(stream, STREAM_EOF);
            return;
        case TLS_FAILED:
            tell_end(stream, -EPROTO);
            return;
        case TLS_MORE:
            flush(stream);     /* an answer to a key update */
            if (tls->end != 0) /* without a goodbye: somebody may have cut it */
                tell_end(stream, tls->end == STREAM_EOF ? -ECONNRESET : tls->end);
            return;
        }
    }
}

static void on_later(struct timer *timer)
{
    struct stream_tls *tls = LIST_ENTRY(timer, struct stream_tls, later);
    if (tls->stream->is_closing)
        return;
    if (tls->is_shaking_hands)
        shake_hands(tls->stream);
    else
        deliver(tls->stream);
}

/* A request in plain text where a handshake should be: TLS is taken off, and the owner reads it. */
static void go_plain(struct stream *stream, char *bytes, ssize_t nread)
{
    stream_tls_free(stream);
    stream->tls = NULL;
    stream->events->on_connect(stream->owner, -EPROTONOSUPPORT);
    if (!stream->is_closing && stream->tls == NULL)
        stream->events->on_read(stream->owner, bytes, nread);
}

/* A method's first letter; a handshake begins with 22 (RFC 8446, 5.1). */
static bool looks_plain(char byte)
{
    return byte >= 'A' && byte <= 'Z';
}

void stream_tls_read(struct stream *stream, char *bytes, ssize_t nread)
{
    if (stream->tls->is_listening && nread > 0 && looks_plain(*bytes)) {
        go_plain(stream, bytes, nread);
        return;
    }
    stream->tls->is_listening = false;
    if (nread > 0)
        tls_received(stream->tls->session, bytes, (size_t)nread);
    else
        stream->tls->end = nread;
    if (stream->tls->is_shaking_hands)
        shake_hands(stream);
    else
        deliver(stream);
    tls_keep_received(stream->tls->session); /* the stream itself goes in a later turn */
}

void stream_tls_read_start(struct stream *stream)
{
    struct stream_tls *tls = stream->tls;
    if (tls->is_wanted || tls->is_ended || stream->is_closing)
        return;
    tls->is_wanted = true;
    if (tls->end == 0)
        stream_read_raw(stream, true);
    if (!timer_is_running(&tls->later)) /* something may wait here already */
        timer_start(stream->loop, &tls->later, 0, on_later);
}

void stream_tls_read_stop(struct stream *stream)
{
    stream->tls->is_wanted = false;
    if (!stream->tls->is_shaking_hands)
        stream_read_raw(stream, false);
}

/* ---- writing ---- */

int stream_tls_write(struct stream *stream, const struct str *pieces, uint32_t npieces)
{
    if (stream->is_closing)
        return -ECANCELED;
    for (uint32_t i = 0; i < npieces; i++) {
        for (size_t at = 0; at < pieces[i].len; at += WRITE_SLICE_BYTES) {
            size_t left = pieces[i].len - at;
            size_t len = left < WRITE_SLICE_BYTES ? left : WRITE_SLICE_BYTES;
            if (tls_write(stream->tls->session, pieces[i].ptr + at, len) != TLS_OK)
                return -EPROTO;
            if (len == WRITE_SLICE_BYTES) {
                int status = flush(stream);
                if (status != 0)
                    return status;
            }
        }
    }
    return flush(stream);
}

void stream_tls_say_goodbye(struct stream *stream)
{
    if (stream->is_shutdown || stream->is_closing || stream->tls->is_shaking_hands)
        return;
    tls_say_goodbye(stream->tls->session);
    flush(stream);
}

/* ---- life ---- */

static struct stream_tls *begin(struct stream *stream, struct tls *session)
{
    ENSURE(stream->tls == NULL);
    stream->tls = MEM_NEW(struct stream_tls);
    stream->tls->stream = stream;
    stream->tls->session = session;
    stream->tls->is_shaking_hands = true;
    return stream->tls;
}

void stream_start_tls(struct stream *stream, struct tls_context *context, const char *host,
                      uint16_t port)
{
    struct stream_tls *tls = begin(stream, tls_new_client(context, host, port));
    timer_start(stream->loop, &tls->later, 0, on_later);
}

void stream_accept_tls(struct stream *stream, struct tls_context *context)
{
    begin(stream, tls_new_server(context))->is_listening = true;
    stream_read_raw(stream, true);
}

bool stream_has_tls(const struct stream *stream)
{
    return stream->tls != NULL;
}

void stream_describe_tls(const struct stream *stream, stream_describe_fn tell, void *data)
{
    if (stream->tls != NULL)
        tls_describe(stream->tls->session, tell, data);
}

bool stream_is_certified_for(const struct stream *stream, struct str host)
{
    return stream->tls != NULL && tls_is_certified_for(stream->tls->session, host);
}

bool stream_describe_client(const struct stream *stream, stream_describe_fn tell, void *data)
{
    return stream->tls != NULL && tls_describe_client(stream->tls->session, tell, data);
}

void stream_tls_free(struct stream *stream)
{
    if (stream->tls == NULL)
        return;
    timer_stop(stream->loop, &stream->tls->later);
    tls_free(stream->tls->session);
    free(stream->tls);
}
