/*
 * Bytes arrive in a buffer that all connections share. As long as requests are answered at once,
 * nothing is copied: the parts of a request point into that buffer and the answers gather in the
 * server's `out` until the read is used up, then leave in one write. Whatever has to outlive the
 * read (half a head, what comes behind a request that waits) is copied to `pending`.
 */
#include "http/conn.h"

#include "base/mem.h"
#include "http/head.h"
#include "http/request.h"
#include "http/response.h"
#include "http/server_state.h"
#include "loop/loop.h"
#include "net/stream.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD_READ_BYTES = 8 * 1024 };

static void go_on(struct conn *conn);
static void finish(struct conn *conn);

/* ---- deadlines ---- */

static void on_deadline(struct deadline *deadline);

static void wait_for(struct conn *conn, enum conn_waits waits)
{
    struct http_server *server = conn->server;
    struct deadline_queue *queue = NULL;
    conn->waits = waits;
    switch (waits) {
    case CONN_WAITS_NOT:
        deadline_stop(&conn->deadline);
        return;
    case CONN_WAITS_HEAD:
        queue = server->header_deadlines;
        break;
    case CONN_WAITS_NEXT:
        queue = server->keepalive_deadlines;
        break;
    case CONN_WAITS_BODY:
    case CONN_WAITS_SEND:
        queue = server->body_deadlines;
        break;
    case CONN_WAITS_END:
        queue = server->linger_deadlines;
        break;
    }
    conn->unsent_bytes = stream_unsent_bytes(conn->stream);
    if (queue != NULL)
        deadline_start(queue, &conn->deadline, on_deadline);
    else
        deadline_stop(&conn->deadline); /* no limit */
}

/* ---- answers ---- */

struct buf *conn_out(struct conn *conn)
{
    struct http_server *server = conn->server;
    return server->batching == conn ? &server->out : &server->side_out;
}

void conn_flush(struct conn *conn, struct str body)
{
    struct buf *out = conn_out(conn);
    bool is_in_batch = conn->server->batching == conn;
    if (is_in_batch && body.len == 0 && out->len < CONN_BATCH_MAX)
        return;
    struct str pieces[2] = {{out->ptr, out->len}, body};
    if (out->len + body.len != 0 && !conn->is_lost && !conn->is_closing &&
        stream_write(conn->stream, pieces, body.len != 0 ? 2 : 1) != 0) {
        conn->is_lost = true; /* the end comes as an event: nothing is torn down under a caller */
        stream_read_start(conn->stream);
    }
    out->len = 0;
    if (stream_queued_bytes(conn->stream) != 0 && !conn->is_closing &&
        conn->waits != CONN_WAITS_SEND)
        wait_for(conn, CONN_WAITS_SEND);
}

/* A body that nobody wants is worth reading to keep the connection when little of it is left. */
static bool is_rest_small(const struct conn *conn)
{
    const struct request *request = conn->request;
    return !conn->is_continue_due && request->body_state == BODY_COMING &&
           request->message.has_length &&
           request->message.content_length - request->body_seen <= CONN_DRAIN_BODY_MAX;
}

bool conn_settle_close(struct conn *conn)
{
    if (conn->server->is_draining || (conn->is_parsing && !is_rest_small(conn)) ||
        conn->request->body_state > BODY_DONE)
        conn->is_last = true;
    return conn->is_last;
}

void conn_send_continue(struct conn *conn)
{
    conn->is_continue_due = false;
    buf_add_text(conn_out(conn), "HTTP/1.1 100 Continue\r\n\r\n");
    conn_flush(conn, (struct str){0});
}

static void release_request(struct conn *conn)
{
    server_put_request(conn->server, conn->request);
    conn->request = NULL;
    conn->is_discarding = false;
    conn->is_parsing = false;
}

void conn_answered(struct conn *conn)
{
    server_end_request(conn->server, conn->request, conn->request->status);
    conn->is_with_handler = false;
    if (conn->is_parsing && !conn->is_last) {
        conn->is_discarding = true;
        conn->request->body_slice = (struct str){0};
        conn->request->body_buf.len = 0;
    } else if (!conn->is_last) {
        release_request(conn);
    }
    if (conn->server->batching == conn)
        return; /* the batch goes on by itself */
    go_on(conn);
}

/* Answers what never reached a handler, and ends the connection: the place of the next request
 * cannot be known. */
static void refuse(struct conn *conn, uint16_t status, struct str reason)
{
    struct buf *out = conn_out(conn);
    struct answer answer = {
        .status = status,
        .content_type = str_of("text/plain; charset=utf-8"),
    };
    struct response_head head = {
        .answer = &answer,
        .framing = RESPONSE_LENGTH,
        .length = reason.len + 1,
        .date = loop_http_date(conn->server->loop),
        .closes = true,
    };
    conn->is_last = true;
    conn->server->in_flight++;
    server_end_request(conn->server, conn->request, status);
    response_head_write(out, &head);
    buf_add_str(out, reason);
    buf_add_char(out, '\n');
    conn_flush(conn, (struct str){0});
}

/* ---- reading ---- */

static bool on_body(void *owner, char *bytes, size_t len)
{
    struct conn *conn = owner;
    struct request *request = conn->request;
    request->body_seen += len;
    request->chunk_left -= request->chunk_left != 0 ? len : 0;
    conn->is_continue_due = false;
    if (conn->is_discarding)
        return true;
    if (conn->is_with_handler && request->body_limit != 0 &&
        request->body_seen > request->body_limit) {
        request->body_state = BODY_TOO_LARGE;
        return false;
    }
    if (request->body_seen == len && !conn->is_with_handler) { /* perhaps all of it, in place */
        request->body_slice = (struct str){bytes, len};
        return true;
    }
    if (request->body_slice.len != 0) {
        buf_add_str(&request->body_buf, request->body_slice);
        request->body_slice = (struct str){0};
    }
    if (buf_try_reserve(&request->body_buf, len) != 0) {
        request->body_state = BODY_TOO_LARGE;
        return false;
    }
    buf_add(&request->body_buf, bytes, len);
    return true;
}

/* A chunk that passes the limit is refused before any of it has come. */
static bool on_chunk(void *owner, uint64_t size)
{
    struct conn *conn = owner;
    struct request *request = conn->request;
    request->chunk_left = size;
    if (conn->is_discarding || !conn->is_with_handler || request->body_limit == 0 ||
        (request->body_seen <= request->body_limit &&
         size <= request->body_limit - request->body_seen))
        return true;
    request->body_state = BODY_TOO_LARGE;
    return false;
}

static void begin_request(struct conn *conn)
{
    conn->request = server_get_request(conn->server);
    conn->is_idle = false;
    conn->request->conn = conn;
    conn->request->is_transient = true;
    conn->is_parsing = true;
    parser_begin(&conn->parser, &conn->request->message);
}

static void refuse_syntax(struct conn *conn)
{
    switch (conn->parser.error) {
    case PARSER_BAD_METHOD:
        refuse(conn, 501, str_of("this method is not known here"));
        break;
    case PARSER_BAD_VERSION:
        refuse(conn, 505, str_of("only HTTP/1.0 and HTTP/1.1 are spoken here"));
        break;
    case PARSER_TOO_MANY_HEADERS:
        refuse(conn, 431, str_of("too many header fields"));
        break;
    default:
        refuse(conn, 400, str_of(parser_reason(&conn->parser)));
    }
}

/* The limits on the head, as far as it has come. False when one was passed and answered. */
static bool check_head_size(struct conn *conn)
{
    const struct config *config = conn->server->config;
    const struct message *message = &conn->request->message;
    uint32_t line = message->nheaders != 0  ? message->headers[0].name.at
                    : message->is_head_done ? message->head_len
                                            : conn->parser.chunk_at;
    uint32_t all = message->is_head_done ? message->head_len : conn->parser.chunk_at;
    if (line > config->limit_request_line + 2) {
        refuse(conn, 414, str_of("the request line is too long"));
        return false;
    }
    if (all - line > config->limit_request_header) {
        refuse(conn, 431, str_of("the header fields are too long"));
        return false;
    }
    return true;
}

static bool check_head(struct conn *conn)
{
    const char *why;
    uint16_t status = head_check(conn->request, &why);
    if (status != 0)
        refuse(conn, status, str_of(why));
    return status == 0;
}

static void dispatch(struct conn *conn)
{
    struct http_server *server = conn->server;
    struct request *request = conn->request;
    if (!check_head_size(conn) || !check_head(conn))
        return;
    server_begin_request(server, request);
    if (!conn->is_parsing && request->body_state == BODY_COMING)
        request->body_state = BODY_DONE;
    conn->is_last = !request->message.keeps_alive;
    conn->is_continue_due = request->message.wants_continue && request->message.version == 11 &&
                            conn->is_parsing && request->body_seen == 0;
    conn->is_with_handler = true;
    server->handler->on_request(server->handler->data, request);
    if (!conn->is_with_handler)
        return;
    request_detach(request);
    if (conn->waits == CONN_WAITS_HEAD || conn->waits == CONN_WAITS_NEXT)
        wait_for(conn, CONN_WAITS_NOT);
}

/* More of the body than anybody has taken: the client has to wait. */
static void hold_back_body(struct conn *conn)
{
    struct request *request = conn->request;
    if (request->body_buf.len > CONN_BODY_AHEAD_MAX && conn->is_parsing && !conn->is_discarding)
        stream_read_stop(conn->stream);
}

static void tell_body(struct conn *conn)
{
    struct http_server *server = conn->server;
    struct request *request = conn->request;
    if (request->is_body_wanted) {
        request->is_body_wanted = false; /* until the handler asks again */
        if (conn->waits == CONN_WAITS_BODY)
            wait_for(conn, CONN_WAITS_NOT);
        server->handler->on_body(server->handler->data, request);
    }
    if (conn->is_with_handler && conn->request == request && !request->is_body_wanted)
        hold_back_body(conn);
}

static void on_message_failed(struct conn *conn)
{
    struct request *request = conn->request;
    conn->is_last = true;
    if (!request->message.is_head_done) {
        if (check_head_size(conn))
            refuse_syntax(conn);
        return;
    }
    if (request->body_state == BODY_COMING)
        request->body_state = BODY_MALFORMED;
    if (conn->is_with_handler)
        tell_body(conn);
    else if (!conn->is_discarding)
        dispatch(conn); /* as if the head had come alone: the answer may not need the body */
}

/* Parses up to the end of one message and hands on what became complete; returns the bytes used. */
static size_t consume_message(struct conn *conn, char *bytes, size_t len)
{
    size_t used = 0;
    if (conn->request == NULL) {
        if (*bytes == '\r' || *bytes == '\n') /* RFC 9112, 2.2: an empty line before a request */
            return 1;
        begin_request(conn);
    }
    struct request *request = conn->request;
    bool was_head_done = request->message.is_head_done;
    if (!was_head_done)
        request->base = bytes - conn->parser.chunk_at;
    enum parser_result result = parser_feed(&conn->parser, bytes, len, &used);
    if (result == PARSER_FAILED) {
        on_message_failed(conn);
        return len;
    }
    if (result == PARSER_END)
        conn->is_parsing = false;
    if (conn->is_discarding) {
        if (result == PARSER_END)
            release_request(conn);
    } else if (!request->message.is_head_done) {
        check_head_size(conn);
    } else if (!conn->is_with_handler) {
        dispatch(conn);
    } else {
        if (result == PARSER_END && request->body_state == BODY_COMING)
            request->body_state = BODY_DONE;
        tell_body(conn);
    }
    return used;
}

/* May the next byte be parsed now? */
static bool can_consume(struct conn *conn)
{
    if (conn->is_closing || conn->is_lost || conn->is_blocked)
        return false;
    if (conn->is_with_handler)
        return conn->is_parsing && conn->request->body_state == BODY_COMING;
    if (conn->is_last && !conn->is_discarding)
        return false;
    if (stream_queued_bytes(conn->stream) > CONN_QUEUED_MAX) {
        conn->is_blocked = true; /* until on_drain */
        return false;
    }
    return true;
}

/* Half a head, or what lies behind a request that waits, outlives the read. */
static void keep_rest(struct conn *conn, const char *bytes, size_t len)
{
    struct request *request = conn->request;
    if (request != NULL && !request->message.is_head_done) {
        buf_add(&conn->pending, request->base, conn->parser.chunk_at);
        request->base = conn->pending.ptr;
    }
    buf_add(&conn->pending, bytes, len);
    if (conn->pending.len > CONN_PENDING_MAX)
        stream_read_stop(conn->stream);
}

static void start_idling(struct conn *conn)
{
    conn->is_idle = true;
    wait_for(conn, CONN_WAITS_NEXT);
}

/* What is due when a batch is over and the connection goes on. */
static void settle(struct conn *conn)
{
    bool is_answering = conn->is_with_handler;
    if (conn->is_closing || conn->is_lost || conn->is_lingering)
        return;
    if (conn->is_last && !is_answering && !conn->is_discarding) {
        finish(conn);
        return;
    }
    if (conn->waits == CONN_WAITS_SEND || is_answering)
        return;
    if (conn->request == NULL && !conn->is_idle)
        start_idling(conn);
    else if (conn->request == NULL)
        return; /* an empty line: time runs on */
    else if (conn->is_discarding)
        wait_for(conn, CONN_WAITS_BODY);
    else if (conn->waits != CONN_WAITS_HEAD) /* not restarted by each byte of a slow head */
        wait_for(conn, CONN_WAITS_HEAD);
}

static void consume(struct conn *conn, char *bytes, size_t len)
{
    struct http_server *server = conn->server;
    struct conn *outer = server->batching; /* only when a handler made us go on */
    if (outer == NULL)
        server->batching = conn;
    while (len != 0 && can_consume(conn)) {
        size_t used = consume_message(conn, bytes, len);
        bytes += used;
        len -= used;
    }
    if (outer == NULL) {
        server->batching = NULL;
        if (server->out.len != 0) {
            struct buf out = server->side_out; /* what gathered leaves as if outside a batch */
            server->side_out = server->out;
            server->out = out;
            conn_flush(conn, (struct str){0});
        }
    }
    if (!conn->is_closing && !conn->is_lost && !conn->is_lingering)
        keep_rest(conn, bytes, len);
    settle(conn);
}

/* Parses what was read ahead, after an answer or a drain. */
static void go_on(struct conn *conn)
{
    struct buf rest = conn->pending;
    if (conn->is_closing || conn->is_lingering)
        return;
    if (rest.len != 0 && can_consume(conn) &&
        (conn->request == NULL || conn->request->message.is_head_done)) {
        conn->pending = (struct buf){0};
        consume(conn, rest.ptr, rest.len);
        buf_deinit(&rest);
    } else {
        settle(conn);
    }
    if (!conn->is_closing && conn->pending.len <= CONN_PENDING_MAX && !conn->is_blocked)
        stream_read_start(conn->stream);
}

void conn_make_room(struct conn *conn)
{
    stream_read_start(conn->stream);
}

void conn_read_body(struct conn *conn)
{
    if (conn->is_continue_due && !conn->request->is_answer_begun)
        conn_send_continue(conn);
    if (conn->waits != CONN_WAITS_SEND)
        wait_for(conn, CONN_WAITS_BODY);
    stream_read_start(conn->stream);
}

/* ---- events of the stream ---- */

/* Half a head goes on where it lies; everything else is read into the shared buffer. */
static void on_alloc(void *owner, char **ptr, size_t *len)
{
    struct conn *conn = owner;
    struct buf *pending = &conn->pending;
    if (conn->request == NULL || conn->request->message.is_head_done || conn->is_lingering)
        return;
    if (buf_try_reserve(pending, HEAD_READ_BYTES) != 0)
        return;
    *ptr = pending->ptr + pending->len;
    *len = pending->cap - pending->len;
}

static void read_head(struct conn *conn, char *bytes, size_t len)
{
    struct buf head = conn->pending;
    if (bytes != head.ptr + head.len) { /* memory was short: not read in place */
        buf_add(&head, bytes, len);
        bytes = head.ptr + head.len - len;
    }
    conn->pending = (struct buf){0};
    consume(conn, bytes, len);
    buf_deinit(&head);
}

static void on_end(struct conn *conn)
{
    if (conn->is_lingering && stream_queued_bytes(conn->stream) != 0 && !conn->is_lost)
        return; /* it only said that it will ask nothing more */
    if (!conn->is_with_handler && conn->request == NULL && !conn->is_lost &&
        stream_queued_bytes(conn->stream) != 0) {
        conn->is_last = true;
        finish(conn);
        return;
    }
    conn_close(conn);
}

static void on_read(void *owner, char *bytes, ssize_t nread)
{
    struct conn *conn = owner;
    if (nread < 0) {
        conn->is_lost |= nread != STREAM_EOF;
        on_end(conn);
        return;
    }
    if (conn->is_lingering || conn->is_lost)
        return;
    if (conn->request != NULL && !conn->request->message.is_head_done) {
        read_head(conn, bytes, (size_t)nread);
        return;
    }
    if (conn->pending.len != 0 || !can_consume(conn)) {
        keep_rest(conn, bytes, (size_t)nread);
        return;
    }
    consume(conn, bytes, (size_t)nread);
}

static void on_drain(void *owner)
{
    struct conn *conn = owner;
    const struct http_handler *handler = conn->server->handler;
    if (conn->is_lingering) {
        finish(conn);
        return;
    }
    if (conn->waits == CONN_WAITS_SEND)
        wait_for(conn, CONN_WAITS_NOT);
    if (conn->is_with_handler) {
        if (conn->request->is_answer_begun)
            handler->on_drain(handler->data, conn->request);
        return;
    }
    conn->is_blocked = false;
    go_on(conn);
}

static void on_closed(void *owner)
{
    struct conn *conn = owner;
    struct http_server *server = conn->server;
    if (conn->request != NULL)
        server_put_request(server, conn->request);
    link_remove(&conn->link);
    buf_deinit(&conn->pending);
    free(conn);
    server_conn_closed(server);
}

static const struct stream_events stream_events = {
    .on_alloc = on_alloc,
    .on_read = on_read,
    .on_drain = on_drain,
    .on_close = on_closed,
};

static void on_deadline(struct deadline *deadline)
{
    struct conn *conn = LIST_ENTRY(deadline, struct conn, deadline);
    size_t unsent_bytes = stream_unsent_bytes(conn->stream);
    switch (conn->waits) {
    case CONN_WAITS_HEAD:
        if (conn->request != NULL) {
            refuse(conn, 408, str_of("the request head took too long"));
            settle(conn);
        } else {
            conn_close(conn);
        }
        return;
    case CONN_WAITS_BODY:
        if (!conn->is_with_handler) {
            conn_close(conn);
            return;
        }
        conn->is_last = true;
        conn->request->body_state = BODY_TIMED_OUT;
        tell_body(conn);
        return;
    case CONN_WAITS_SEND:
        if (unsent_bytes < conn->unsent_bytes) { /* slow, but moving */
            wait_for(conn, CONN_WAITS_SEND);
            return;
        }
        conn->is_lost = true;
        stream_reset(conn->stream);
        conn_close(conn);
        return;
    case CONN_WAITS_NOT:
    case CONN_WAITS_NEXT:
    case CONN_WAITS_END:
        conn_close(conn);
    }
}

/* ---- life ---- */

void conn_open(struct http_server *server, int fd)
{
    struct conn *conn = MEM_NEW(struct conn);
    conn->stream = stream_open(server->loop, fd, &stream_events, conn);
    if (conn->stream == NULL) {
        free(conn);
        return;
    }
    conn->server = server;
    link_append(&server->conns, &conn->link);
    deadline_init(&conn->deadline);
    parser_init(&conn->parser, PARSER_REQUEST, on_body, conn);
    conn->parser.on_chunk = on_chunk;
    server_conn_opened(server);
    conn->is_idle = true; /* with less patience than between two requests */
    wait_for(conn, CONN_WAITS_HEAD);
    stream_read_start(conn->stream);
}

/* The last answer is on its way: close once it has left, reading what the client still sends,
 * because closing over unread bytes would make the kernel throw the answer away. */
static void finish(struct conn *conn)
{
    size_t queued_bytes = stream_queued_bytes(conn->stream);
    if (conn->request != NULL)
        release_request(conn);
    if (!conn->is_lingering) {
        conn->is_lingering = true;
        buf_deinit(&conn->pending);
        stream_shutdown(conn->stream);
        stream_read_start(conn->stream);
    }
    wait_for(conn, queued_bytes != 0 ? CONN_WAITS_SEND : CONN_WAITS_END);
}

/* An idle client may have sent its next request already, and closing now would fail it. So it has
 * half a second more: what comes is answered with Connection: close. */
void conn_drain(struct conn *conn)
{
    if (conn->request != NULL || stream_queued_bytes(conn->stream) != 0 || conn->is_lingering) {
        conn->is_last = true;
    } else {
        conn->waits = CONN_WAITS_NEXT;
        deadline_start(conn->server->drain_deadlines, &conn->deadline, on_deadline);
    }
}

void conn_close(struct conn *conn)
{
    const struct http_handler *handler = conn->server->handler;
    if (conn->is_closing)
        return;
    conn->is_closing = true;
    deadline_stop(&conn->deadline);
    if (conn->is_with_handler) {
        conn->is_with_handler = false;
        server_end_request(conn->server, conn->request, 0);
        handler->on_abandon(handler->data, conn->request);
    }
    stream_close(conn->stream);
}
