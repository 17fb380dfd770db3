/*
 * An HTTP/1.1 connection of the client. The fetch's events come last in every function that raises
 * one: what runs in them may use the pool again or free the fetch.
 */
#include "base/mem.h"
#include "http/answer_head.h"
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

enum {
    FRAMING_MAX = 64 * 1024, /* bytes of chunk sizes, extensions and trailers, and so many more */
    FRAMING_PER_BODY_BYTE = 16,
};

static void on_idle_due(struct deadline *deadline)
{
    client_conn_close(LIST_ENTRY(deadline, struct client_conn, idle_deadline));
}

/* ---- as a carrier ---- */

static enum fetch_stage stage_of_dial(const struct dial *dial)
{
    static const enum fetch_stage stages[] = {
        [DIAL_RESOLVING] = FETCH_RESOLVING,
        [DIAL_CONNECTING] = FETCH_CONNECTING,
        [DIAL_SHAKING_HANDS] = FETCH_SHAKING_HANDS,
    };
    return stages[dial_stage(dial)];
}

static enum fetch_stage stage(const struct fetch *fetch)
{
    const struct client_conn *conn = fetch->carrier_data;
    if (conn->dial != NULL)
        return stage_of_dial(conn->dial);
    if (conn->stream == NULL)
        return conn->dialed_stage;
    if (fetch->answer_head.len != 0)
        return FETCH_READING;
    return !upload_is_sent(fetch) || stream_queued_bytes(conn->stream) != 0 ? FETCH_SENDING
                                                                            : FETCH_WAITING;
}

static void go_on(struct fetch *fetch)
{
    struct client_conn *conn = fetch->carrier_data;
    if (conn->stream != NULL && (fetch->max_body != 0 || fetch->answer_body.len <= FETCH_AHEAD_MAX))
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

static const struct fetch_carrier carrier = {
    .stage = stage,
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
    parser_begin(&conn->parser, &fetch->message);
    if (fetch->request->method == METHOD_HEAD)
        parser_expect_no_body(&conn->parser);
}

void client_conn_carry(struct client_conn *conn, struct fetch *fetch)
{
    attach(conn, fetch);
    deadline_stop(&conn->idle_deadline);
    conn->is_idle = false;
    conn->head.len = 0;
    fetch->body_sent = 0;
    conn->body_bytes = conn->framing_bytes = 0;
    conn->has_bytes = conn->has_sent = false;
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

/* `begin` are the first bytes of the answer. */
static void fail_parse(struct client_conn *conn, struct str begin)
{
    const char *guess = answer_guess(begin);
    char reason[160] = "malformed answer: ";
    switch (conn->parser.error) {
    case PARSER_BODY_REFUSED:
        fail(conn, conn->fetch->error, conn->fetch->reason);
        return;
    case PARSER_TOO_MANY_HEADERS:
        fail(conn, FETCH_TOO_LARGE, "the answer has too many header fields");
        return;
    default:
        if (conn->nserved == 0 && conn->fetch->message.status == 0 && guess != NULL) {
            fail(conn, FETCH_PROTOCOL, guess);
            return;
        }
        strncat(reason, parser_reason(&conn->parser), sizeof(reason) - strlen(reason) - 1);
        fail(conn, FETCH_PROTOCOL, reason);
    }
}

static bool on_body(void *owner, char *bytes, size_t len)
{
    struct client_conn *conn = owner;
    conn->body_bytes += len;
    return fetch_got_body(conn->fetch, bytes, len);
}

/* Half a head outlives the read; `base` is its first byte. */
static void keep_head(struct client_conn *conn, const char *base, size_t len)
{
    struct buf *head = &conn->head;
    if (head->len != 0 && base >= head->ptr && base <= head->ptr + head->len) {
        buf_consume(head, (size_t)(base - head->ptr));
        return;
    }
    head->len = 0;
    buf_add(head, base, len);
}

/* A head has come whole: an interim one, or the answer's. False: the fetch has failed. */
static bool take_head(struct client_conn *conn, char *base, const char *end)
{
    struct fetch *fetch = conn->fetch;
    const struct message *message = &fetch->message;
    char reason[160] = "malformed answer: ";
    const char *wrong = answer_check_lines(base, end);
    if (wrong == NULL)
        wrong = answer_check_framing(message);
    if (wrong != NULL) {
        strncat(reason, wrong, sizeof(reason) - strlen(reason) - 1);
        fail(conn, FETCH_PROTOCOL, reason);
        return false;
    }
    if (message->status == 101) {
        fail(conn, FETCH_PROTOCOL, "the server switches protocols without being asked");
        return false;
    }
    answer_unfold(message, base);
    if (message->status >= 200) {
        conn->is_doubtful |= answer_is_doubtful(message);
        fetch_got_head(fetch, base);
    } else if (!fetch_got_interim(fetch, base)) {
        fail(conn, FETCH_TOO_LARGE, "the interim answers are larger than 64 KiB");
        return false;
    }
    return true;
}

/* Chunk sizes, extensions and trailers are read without being kept, but not for ever. */
static bool is_framing_too_large(struct client_conn *conn, size_t used, uint64_t body_bytes_before)
{
    uint64_t body = conn->body_bytes - body_bytes_before;
    conn->framing_bytes += used > body ? used - body : 0;
    return conn->framing_bytes > FRAMING_MAX + conn->body_bytes * FRAMING_PER_BODY_BYTE;
}

/* llhttp takes LF alone for the end of the last chunk. `end` is behind the bytes that were used. */
static bool is_end_good(const struct client_conn *conn, const char *end, size_t used)
{
    const struct message *message = &conn->fetch->message;
    bool has_chunks = message->is_chunked && message->status >= 200 && message->status != 204 &&
                      message->status != 304 && conn->fetch->request->method != METHOD_HEAD;
    return !has_chunks || (used >= 2 ? end[-2] : conn->last_byte) == '\r';
}

/* What the bytes of one read bring. True: the fetch has been told, nothing may be touched. */
static bool consume(struct client_conn *conn, char *bytes, size_t len)
{
    struct fetch *fetch = conn->fetch;
    struct message *message = &fetch->message;
    while (len != 0) {
        size_t used = 0;
        uint64_t body_bytes = conn->body_bytes;
        bool was_head_done = message->is_head_done;
        char *base = bytes - conn->parser.chunk_at;
        size_t begun = conn->parser.chunk_at;
        enum parser_result result = parser_feed(&conn->parser, bytes, len, &used);
        uint32_t head_bytes = message->is_head_done ? message->head_len : conn->parser.chunk_at;
        if (head_bytes > FETCH_HEAD_MAX) {
            fail(conn, FETCH_TOO_LARGE, "the head of the answer is larger than 64 KiB");
            return true;
        }
        if (!was_head_done && message->is_head_done && !take_head(conn, base, bytes + len))
            return true;
        if (result == PARSER_FAILED) {
            fail_parse(conn, (struct str){base, begun + len});
            return true;
        }
        if (!message->is_head_done) {
            keep_head(conn, base, conn->parser.chunk_at);
            return false;
        }
        bytes += used;
        len -= used;
        bool is_head_behind = was_head_done || message->head_len < begun;
        size_t head_used = is_head_behind ? 0 : message->head_len - begun;
        if (is_framing_too_large(conn, used - head_used, body_bytes)) {
            fail(conn, FETCH_TOO_LARGE, "there is too much around the chunks of the body");
            return true;
        }
        if (result == PARSER_END && !is_end_good(conn, bytes, used)) {
            fail(conn, FETCH_PROTOCOL, "malformed answer: the last chunk ends without CR LF");
            return true;
        }
        conn->last_byte = used != 0 ? bytes[-1] : conn->last_byte;
        if (result == PARSER_END && message->status >= 200) {
            finish(conn, len == 0);
            return true;
        }
        if (result == PARSER_END) /* an interim answer: the real one follows */
            begin_answer(conn);
    }
    if (fetch->message.is_head_done)
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
    } else if (fetch->answer_head.len != 0 && is_orderly &&
               parser_finish(&conn->parser) == PARSER_END) {
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
    if (nread < 0) {
        on_end(conn, nread == STREAM_EOF);
        return;
    }
    conn->has_bytes = true;
    if (conn->head.len != 0) {
        size_t had = conn->head.len;
        buf_add(&conn->head, bytes, (size_t)nread);
        bytes = conn->head.ptr + had;
    }
    if (consume(conn, bytes, (size_t)nread))
        return;
    if (fetch->max_body == 0 && fetch->answer_body.len > FETCH_AHEAD_MAX)
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
    .on_read = on_read,
    .on_drain = client_conn_on_drain,
    .on_close = on_closed,
};

static void dial(struct client_conn *conn);

static void on_dialed(void *owner, const struct dial_result *result)
{
    static const enum fetch_error errors[] = {
        [DIAL_BAD_NAME] = FETCH_BAD_NAME,
        [DIAL_REFUSED] = FETCH_REFUSED,
        [DIAL_BAD_TLS] = FETCH_BAD_TLS,
    };
    struct client_conn *conn = owner;
    struct fetch *fetch = conn->fetch;
    fetch->timing.dns = result->took_us[DIAL_RESOLVING];
    fetch->timing.connect = result->took_us[DIAL_CONNECTING];
    fetch->timing.tls = result->took_us[DIAL_SHAKING_HANDS];
    conn->dialed_stage = stage_of_dial(conn->dial);
    conn->dial = NULL; /* frees itself */
    if (result->had_ticket && result->error == DIAL_BAD_TLS && !conn->is_dialed_again) {
        conn->is_dialed_again = true; /* its ticket may have been what the server stumbled over */
        dial(conn);
        return;
    }
    if (result->stream == NULL) {
        fetch_fail(fetch, errors[result->error], result->reason);
        return;
    }
    conn->stream = result->stream;
    stream_set_owner(conn->stream, &stream_events, conn);
    client_conn_carry(conn, fetch);
}

static struct dial_target target_of(struct origin *origin)
{
    const struct pool_options *options = &origin->pool->options;
    return (struct dial_target){
        .host = origin->host,
        .port = origin->port,
        .unix_path = origin->unix_path,
        .open_socket = options->open_socket,
        .open_data = options->open_data,
        .tls = origin->scheme == URL_HTTPS ? pool_tls(origin->pool) : NULL,
    };
}

static void dial(struct client_conn *conn)
{
    struct dial_target target = target_of(conn->origin);
    conn->dial = dial_start(conn->origin->pool->loop, &target, on_dialed, conn);
}

void client_conn_dial(struct origin *origin, struct fetch *fetch)
{
    struct client_conn *conn = MEM_NEW(struct client_conn);
    conn->origin = origin;
    origin->nconns++;
    link_append(&origin->busy, &conn->link);
    deadline_init(&conn->idle_deadline);
    conn->idle_deadline.on_due = on_idle_due;
    parser_init(&conn->parser, PARSER_RESPONSE, on_body, conn);
    attach(conn, fetch);
    dial(conn);
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
    if (conn->dial != NULL)
        dial_cancel(conn->dial);
    if (conn->stream != NULL)
        stream_close(conn->stream);
    else
        on_closed(conn);
    pool_conn_gone(origin);
}
