/*
 * An HTTP/1.1 connection of the client. The fetch's events come last in every function that raises
 * one: what runs in them may use the pool again or free the fetch.
 */
#include "base/mem.h"
#include "http/answer_head.h"
#include "http/duplex.h"
#include "http/fetch.h"
#include "http/method.h"
#include "http/outgoing.h"
#include "http/pool_state.h"
#include "http/upload.h"
#include "loop/deadline.h"
#include "net/dial.h"
#include "net/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void on_idle_due(struct deadline *deadline)
{
    client_conn_close(LIST_ENTRY(deadline, struct client_conn, idle_deadline));
}

enum {
    FLOOD_BYTES = 64 * 1024, /* in one read: as many as a stream's own buffer holds */
    READ_BYTES = 256 * 1024, /* so many at a time are read in a flood */
};

/* ---- as a carrier ---- */

static enum fetch_stage stage(const struct fetch *fetch)
{
    const struct client_conn *conn = fetch->carrier_data;
    if (conn->stream == NULL)
        return client_dial_stage(conn);
    if (fetch->answer_head.len != 0)
        return FETCH_READING;
    return !upload_is_sent(fetch) || stream_queued_bytes(conn->stream) != 0 ? FETCH_SENDING
                                                                            : FETCH_WAITING;
}

static void go_on(struct fetch *fetch)
{
    struct client_conn *conn = fetch->carrier_data;
    if (conn->stream != NULL && fetch_has_room(fetch))
        stream_read_start(conn->stream);
}

static void detach(struct client_conn *conn)
{
    conn->fetch->carrier = NULL;
    conn->fetch = NULL;
}

static void cancel(struct fetch *fetch)
{
    struct client_conn *conn = fetch->carrier_data;
    detach(conn);
    client_conn_close(conn);
}

static void send_more(struct fetch *fetch)
{
    struct client_conn *conn = fetch->carrier_data;
    if (conn->stream != NULL)
        client_conn_send(conn, (struct str){0});
}

static void describe(const struct fetch *fetch, struct buf *text)
{
    const struct client_conn *conn = fetch->carrier_data;
    client_dial_describe(conn, text);
}

static const struct fetch_carrier carrier = {
    .stage = stage,
    .describe = describe,
    .go_on = go_on,
    .send = send_more,
    .cancel = cancel,
};

static void attach(struct client_conn *conn, struct fetch *fetch)
{
    conn->fetch = fetch;
    fetch->carrier = &carrier;
    fetch->carrier_data = conn;
}

/* ---- the request ---- */

static void begin_answer(struct client_conn *conn)
{
    struct fetch *fetch = conn->fetch;
    message_reset(&fetch->message);
    answer_parser_begin(&conn->parser, &fetch->message);
}

void client_conn_carry(struct client_conn *conn, struct fetch *fetch)
{
    attach(conn, fetch);
    deadline_stop(&conn->idle_deadline);
    conn->is_idle = false;
    conn->head.len = 0;
    fetch->body_sent = 0;
    conn->has_bytes = conn->has_sent = conn->is_flooding = false;
    /* Speaking before it was asked. With TLS that may be a session ticket. */
    conn->is_doubtful =
        conn->nserved == 0 && conn->origin->scheme != URL_HTTPS && !stream_is_quiet(conn->stream);
    begin_answer(conn);
    if (fetch->upload != NULL)
        upload_begin(fetch);
    stream_read_start(conn->stream);
    client_conn_send(conn, buf_str(&fetch->head));
}

/* ---- the answer ---- */

static void fail(struct client_conn *conn, enum fetch_error error, const char *reason)
{
    fetch_fail(conn->fetch, error, reason); /* closes the connection through cancel() */
}

/* The answer is whole. */
static void finish(struct client_conn *conn, bool is_clean)
{
    struct fetch *fetch = conn->fetch;
    bool is_reusable =
        is_clean && fetch->message.keeps_alive && !fetch->request->wants_close && !conn->is_lost &&
        !conn->is_doubtful && upload_is_sent(fetch) && stream_queued_bytes(conn->stream) == 0 &&
        pool_conn_set_life(conn, answer_keep_alive(&fetch->message, fetch->answer_head.ptr));
    detach(conn);
    conn->nserved++;
    if (is_reusable) {
        stream_read_start(conn->stream);
        pool_conn_free(conn);
    } else {
        client_conn_close(conn);
    }
    fetch_end(fetch);
}

static void fail_as_malformed(struct client_conn *conn, const char *wrong)
{
    char reason[160] = "malformed answer: ";
    strncat(reason, wrong, sizeof(reason) - strlen(reason) - 1);
    fail(conn, FETCH_PROTOCOL, reason);
}

/* `begin` are the first bytes of the answer. */
static void fail_head(struct client_conn *conn, enum answer_result result, struct str begin)
{
    const char *guess = answer_guess(begin);
    if (result == ANSWER_TOO_MANY)
        fail(conn, FETCH_TOO_LARGE, "the answer has too many header fields");
    else if (conn->nserved == 0 && conn->fetch->message.status == 0 && guess != NULL)
        fail(conn, FETCH_PROTOCOL, guess);
    else
        fail_as_malformed(conn, conn->parser.reason);
}

/* Half a head outlives the read. */
static void keep_head(struct client_conn *conn, struct str bytes)
{
    struct buf *head = &conn->head;
    if (head->len != 0 && bytes.ptr >= head->ptr && bytes.ptr <= head->ptr + head->len) {
        buf_consume(head, (size_t)(bytes.ptr - head->ptr));
        return;
    }
    head->len = 0;
    buf_add_str(head, bytes);
}

/* RFC 9112, 6.3 */
static void begin_body(struct client_conn *conn)
{
    struct fetch *fetch = conn->fetch;
    const struct message *message = &fetch->message;
    enum framing_kind kind = FRAMED_BY_END;
    if (fetch->request->method == METHOD_HEAD || message->status == 204 || message->status == 304)
        kind = FRAMED_BY_NOTHING;
    else if (message->is_chunked)
        kind = FRAMED_BY_CHUNKS;
    else if (message->has_length)
        kind = message->content_length != 0 ? FRAMED_BY_LENGTH : FRAMED_BY_NOTHING;
    fetch->trailers.len = 0;
    framing_begin(&conn->framing, kind, message->content_length, &fetch->trailers);
    if (kind != FRAMED_BY_NOTHING)
        fetch_begin_body(fetch);
}

/* A head has come whole: an interim one, or the answer's. False: the fetch has failed. */
static bool take_head(struct client_conn *conn, char *base)
{
    struct fetch *fetch = conn->fetch;
    const struct message *message = &fetch->message;
    const char *wrong = answer_check_framing(message);
    if (wrong != NULL) {
        fail_as_malformed(conn, wrong);
        return false;
    }
    wrong = message->status == 101 ? fetch_check_switch(fetch, base) : NULL;
    if (wrong == NULL && message->status == 101 && !upload_is_sent(fetch))
        wrong = "the server switches protocols before it has the whole request";
    if (wrong != NULL) {
        fail(conn, FETCH_PROTOCOL, wrong);
        return false;
    }
    answer_unfold(message, base);
    if (message->status >= 200 || message->status == 101) {
        conn->is_doubtful |= answer_is_doubtful(message);
        fetch_got_head(fetch, base);
        begin_body(conn);
    } else if (!fetch_got_interim(fetch, base)) {
        fail(conn, FETCH_TOO_LARGE, "the interim answers are larger than 64 KiB");
        return false;
    }
    return true;
}

/* Answered 101: the connection leaves HTTP and the pool; `rest` came behind the head. */
static void switch_protocols(struct client_conn *conn, struct str rest)
{
    struct fetch *fetch = conn->fetch;
    struct stream *stream = conn->stream;
    fetch->duplex = pool_open_duplex(fetch->pool, stream);
    duplex_feed(fetch->duplex, rest);
    conn->stream = NULL;
    detach(conn);
    client_conn_close(conn);
    fetch_end(fetch);
}

/* The head that `bytes` begin with, from where the last read left it. */
static enum answer_result read_head(struct client_conn *conn, struct str bytes, size_t *used)
{
    struct answer_memory *memory = &conn->origin->answers;
    struct message *message = &conn->fetch->message;
    bool is_new = conn->parser.scanned == 0;
    if (is_new && answer_memory_find(memory, bytes, message, used))
        return ANSWER_DONE;
    enum answer_result result = answer_parser_feed(&conn->parser, bytes.ptr, bytes.len, used);
    if (is_new && result == ANSWER_DONE)
        answer_memory_keep(memory, (struct str){bytes.ptr, *used}, message);
    return result;
}

/* Takes heads from the front of `bytes` until that of the answer has come. True: the fetch has been
 * told. */
static bool consume_heads(struct client_conn *conn, struct str *bytes)
{
    const struct message *message = &conn->fetch->message;
    while (!message->is_head_done) {
        size_t used = 0;
        enum answer_result result = read_head(conn, *bytes, &used);
        if (result == ANSWER_BAD || result == ANSWER_TOO_MANY) {
            fail_head(conn, result, *bytes);
            return true;
        }
        if ((result == ANSWER_DONE ? message->head_len : bytes->len) > FETCH_HEAD_MAX) {
            fail(conn, FETCH_TOO_LARGE, "the head of the answer is larger than 64 KiB");
            return true;
        }
        if (result == ANSWER_MORE) {
            keep_head(conn, *bytes);
            bytes->len = 0;
            return false;
        }
        if (!take_head(conn, (char *)bytes->ptr))
            return true;
        bytes->ptr += used;
        bytes->len -= used;
        if (message->status == 101) {
            switch_protocols(conn, *bytes);
            return true;
        }
        if (message->status < 200) /* an interim answer: the real one follows */
            begin_answer(conn);
    }
    return false;
}

/* The same with what is behind the head. */
static bool consume_body(struct client_conn *conn, struct str *bytes)
{
    struct fetch *fetch = conn->fetch;
    struct str piece;
    while (true) {
        switch (framing_next(&conn->framing, bytes, &piece)) {
        case FRAMING_PIECE:
            if (fetch_got_body(fetch, piece.ptr, piece.len))
                break;
            fail(conn, fetch->error, fetch->reason);
            return true;
        case FRAMING_MORE:
            return false;
        case FRAMING_DONE:
            finish(conn, bytes->len == 0);
            return true;
        case FRAMING_BAD:
            fail_as_malformed(conn, conn->framing.reason);
            return true;
        case FRAMING_TOO_LARGE:
            fail(conn, FETCH_TOO_LARGE, conn->framing.reason);
            return true;
        }
    }
}

/* What the bytes of one read bring. True: the fetch has been told, nothing may be touched. */
static bool consume(struct client_conn *conn, struct str bytes)
{
    const struct message *message = &conn->fetch->message;
    if (!message->is_head_done && consume_heads(conn, &bytes))
        return true;
    if (!message->is_head_done)
        return false;
    if (consume_body(conn, &bytes))
        return true;
    conn->head.len = 0;
    return false;
}

/* The server had closed a kept connection before our request reached it: nothing has happened there
 * (RFC 9110, 9.2.2; RFC 9112, 9.3.1). That is certain when nothing was sent, and does not matter
 * when the request is idempotent. */
static bool can_retry(const struct client_conn *conn)
{
    return conn->nserved != 0 && !conn->has_bytes && !conn->fetch->is_retried &&
           (conn->fetch->request->is_idempotent || !conn->has_sent) &&
           (conn->fetch->upload == NULL || !conn->fetch->upload->is_begun);
}

static void on_end(struct client_conn *conn, bool is_orderly)
{
    struct fetch *fetch = conn->fetch;
    struct pool *pool = conn->origin->pool;
    if (can_retry(conn)) {
        detach(conn);
        fetch->is_retried = true;
        client_conn_close(conn);
        pool_submit_again(pool, fetch);
    } else if (fetch->answer_head.len != 0 && is_orderly && framing_ends_with(&conn->framing)) {
        finish(conn, false);
    } else if (fetch->answer_head.len != 0) {
        fail(conn, FETCH_CLOSED, "the server closed the connection before the end of the body");
    } else if (conn->has_bytes) {
        fail(conn, FETCH_CLOSED, "the server closed the connection in the middle of the head");
    } else {
        fail(conn, FETCH_CLOSED,
             is_orderly ? "the server closed the connection without an answer"
                        : "the server reset the connection without an answer");
    }
}

/* The body of a fast server is read to where it is wanted. */
static void on_alloc(void *owner, char **ptr, size_t *len)
{
    struct client_conn *conn = owner;
    if (conn->fetch == NULL || !conn->is_flooding)
        return;
    uint64_t sure = framing_sure_bytes(&conn->framing);
    if (sure < FLOOD_BYTES)
        return;
    *len = sure < READ_BYTES ? (size_t)sure : READ_BYTES;
    *ptr = fetch_body_room(conn->fetch, *len);
    if (*ptr == NULL)
        *len = 0;
}

/* `bytes` bytes lie in the body already. True: the fetch has been told. */
static bool take_flood(struct client_conn *conn, size_t bytes)
{
    struct str nothing = {0};
    framing_skip(&conn->framing, bytes);
    if (fetch_filled_body(conn->fetch, bytes))
        return consume_body(conn, &nothing);
    fail(conn, conn->fetch->error, conn->fetch->reason);
    return true;
}

static void on_read(void *owner, char *bytes, ssize_t nread)
{
    struct client_conn *conn = owner;
    struct fetch *fetch = conn->fetch;
    if (fetch == NULL) { /* idle: the server has closed it, or talks out of turn */
        client_conn_close(conn);
        return;
    }
    if (nread == -EPROTO) {
        fail(conn, FETCH_BAD_TLS, stream_tls_reason(conn->stream));
        return;
    }
    fetch->read_us = 0;
    if (nread < 0) {
        on_end(conn, nread == STREAM_EOF);
        return;
    }
    conn->has_bytes = true;
    struct str all = {bytes, (size_t)nread};
    if (conn->head.len != 0) {
        buf_add_str(&conn->head, all);
        all = buf_str(&conn->head);
    }
    bool is_in_place = conn->is_flooding && fetch->answer_body.ptr != NULL &&
                       bytes == fetch->answer_body.ptr + fetch->answer_body.len;
    conn->is_flooding = nread >= FLOOD_BYTES && fetch->message.is_head_done;
    if (is_in_place ? take_flood(conn, (size_t)nread) : consume(conn, all))
        return;
    if (!fetch_has_room(fetch))
        stream_read_stop(conn->stream);
    if (fetch->upload != NULL) /* it may have asked for the body */
        client_conn_send(conn, (struct str){0});
    if (fetch->answer_head.len != 0 || fetch_has_interim(fetch) ||
        (fetch->upload != NULL && fetch->upload->has_room))
        fetch_changed(fetch);
}

/* ---- life ---- */

static void on_closed(void *owner)
{
    struct client_conn *conn = owner;
    buf_deinit(&conn->head);
    free(conn);
}

static const struct stream_events stream_events = {
    .on_alloc = on_alloc,
    .on_read = on_read,
    .on_drain = client_conn_on_drain,
    .on_close = on_closed,
};

struct client_conn *client_conn_new(struct origin *origin, struct fetch *fetch)
{
    struct client_conn *conn = MEM_NEW(struct client_conn);
    conn->origin = origin;
    origin->nconns++;
    link_append(&origin->busy, &conn->link);
    deadline_init(&conn->idle_deadline);
    conn->idle_deadline.on_due = on_idle_due;
    attach(conn, fetch);
    return conn;
}

void client_conn_open(struct client_conn *conn, struct stream *stream)
{
    conn->stream = stream;
    stream_set_owner(stream, &stream_events, conn);
    client_conn_carry(conn, conn->fetch);
}

void client_conn_close(struct client_conn *conn)
{
    struct origin *origin = conn->origin;
    if (origin == NULL)
        return;
    conn->origin = NULL;
    if (conn->is_idle)
        origin->nidle--;
    deadline_stop(&conn->idle_deadline);
    link_remove(&conn->link);
    origin->nconns--;
    client_dial_cancel(conn);
    if (conn->stream != NULL)
        stream_close(conn->stream);
    else
        on_closed(conn);
    pool_conn_gone(origin);
}
