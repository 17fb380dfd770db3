/*
 * Bytes arrive in a buffer that all connections share. As long as requests are answered at once,
 * nothing is copied: the parts of a request point into that buffer. Whatever has to outlive the
 * read (half a head, what comes behind a request that waits) is copied to `pending`.
 */
#include "http/conn_parts.h"

#include "base/mem.h"
#include "http/duplex.h"
#include "http/head.h"
#include "http/method.h"
#include "http/request.h"
#include "http/response.h"
#include "http/server_state.h"
#include "loop/loop.h"
#include "net/stream.h"

#include <string.h>

void conn_answer_last(struct conn *conn, uint16_t status, struct str text, struct str fields)
{
    struct buf *out = conn_out(conn);
    struct answer answer = {
        .status = status,
        .content_type = str_of("text/plain; charset=utf-8"),
        .fields = fields,
    };
    struct response_head head = {
        .answer = &answer,
        .framing = RESPONSE_LENGTH,
        .length = text.len + 1,
        .date = loop_http_date(conn->server->loop),
        .closes = true,
    };
    conn->is_last = true;
    conn->server->in_flight++;
    server_end_request(conn->server, conn->request, status);
    response_head_write(out, &head);
    if (conn->request->message.method != METHOD_HEAD) {
        buf_add_str(out, text);
        buf_add_char(out, '\n');
    }
    conn_flush(conn, (struct str){0});
}

/* The place of the next request cannot be known. */
void conn_refuse(struct conn *conn, uint16_t status, struct str reason)
{
    conn_answer_last(conn, status, reason, (struct str){0});
}

void conn_refuse_for_now(struct conn *conn, struct str reason)
{
    conn_answer_last(conn, 503, reason, str_of("Retry-After: 1\r\n"));
}

bool conn_on_body(void *owner, char *bytes, size_t len)
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
    if (buf_try_add(&request->body_buf, (struct str){bytes, len}) == 0)
        return true;
    request->body_state = BODY_NO_MEMORY;
    return false;
}

/* A chunk that passes the limit is refused before any of it has come. */
bool conn_on_chunk(void *owner, uint64_t size)
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

void conn_turn_away(struct conn *conn, uint16_t status, struct str reason)
{
    begin_request(conn);
    if (status == 503)
        conn_refuse_for_now(conn, reason);
    else
        conn_refuse(conn, status, reason);
    conn_settle(conn);
}

static void refuse_syntax(struct conn *conn)
{
    switch (conn->parser.error) {
    case PARSER_BAD_METHOD:
        conn_refuse(conn, 501, str_of("this method is not known here"));
        break;
    case PARSER_BAD_VERSION:
        conn_refuse(conn, 505, str_of("only HTTP/1.0 and HTTP/1.1 are spoken here"));
        break;
    case PARSER_TOO_MANY_HEADERS:
        conn_refuse(conn, 431, str_of("too many header fields"));
        break;
    default:
        conn_refuse(conn, 400, str_of(parser_reason(&conn->parser)));
    }
}

/* The bytes of the request line with CR LF, or the fewest that it can have when its end has not
 * come. */
static uint32_t line_bytes(const struct conn *conn)
{
    const struct request *request = conn->request;
    uint32_t known = conn->parser.chunk_at;
    if (request->message.nheaders != 0)
        return request->message.headers[0].name.at;
    if (request->message.is_head_done)
        return request->message.head_len - 2;
    const char *end = memchr(request->base, '\n', known);
    return end != NULL ? (uint32_t)(end + 1 - request->base) : known + 1;
}

/* The limits on the head, as far as it has come. False when one was passed and answered. Whatever
 * is counted here only grows from byte to byte: so the answer does not depend on how the head is
 * cut into packets. */
static bool check_head_size(struct conn *conn)
{
    const struct config *config = conn->server->config;
    const struct message *message = &conn->request->message;
    uint32_t line = line_bytes(conn);
    uint32_t all = message->is_head_done ? message->head_len : conn->parser.chunk_at;
    if (line > config->limit_request_line + 2) {
        conn_refuse(conn, 414, str_of("the request line is too long"));
        return false;
    }
    if (all > line && all - line > config->limit_request_header) {
        conn_refuse(conn, 431, str_of("the header fields are too long"));
        return false;
    }
    return true;
}

static bool check_head(struct conn *conn)
{
    const char *why;
    uint16_t status = head_check(conn->request, &why);
    if (status != 0)
        conn_refuse(conn, status, str_of(why));
    return status == 0;
}

/* What runs already gets what is left. */
static bool check_memory(struct conn *conn)
{
    if (!mem_is_short())
        return true;
    server_say_short(conn->server);
    conn_refuse_for_now(conn, str_of("the server is out of memory"));
    return false;
}

static void dispatch(struct conn *conn)
{
    struct http_server *server = conn->server;
    struct request *request = conn->request;
    if (!check_head_size(conn) || !check_head(conn) || !check_memory(conn))
        return;
    if (conn->service == HTTP_REDIRECTS || conn->is_misplaced) {
        conn_point_to_tls(conn);
        return;
    }
    server_begin_request(server, request);
    if (!conn->is_parsing && request->body_state == BODY_COMING)
        request->body_state = BODY_DONE;
    conn->is_last =
        !request->message.keeps_alive || ++conn->requests == server->config->keepalive_requests;
    conn->is_continue_due = request->message.wants_continue && request->message.version == 11 &&
                            conn->is_parsing && request->body_seen == 0;
    conn->is_with_handler = true;
    server->handler->on_request(server->handler->data, request);
    if (!conn->is_with_handler)
        return;
    request_detach(request);
    if (conn->waits == CONN_WAITS_HEAD || conn->waits == CONN_WAITS_NEXT ||
        conn->waits == CONN_WAITS_DRAIN)
        conn_wait_for(conn, CONN_WAITS_NOT);
}

/* More of the body than anybody has taken: the client has to wait. */
static void hold_back_body(struct conn *conn)
{
    struct request *request = conn->request;
    if (request->body_buf.len > CONN_BODY_AHEAD_MAX && conn->is_parsing && !conn->is_discarding)
        stream_read_stop(conn->stream);
}

void conn_tell_body(struct conn *conn)
{
    struct http_server *server = conn->server;
    struct request *request = conn->request;
    if (request->is_body_wanted) {
        request->is_body_wanted = false; /* until the handler asks again */
        if (request->body_state == BODY_COMING && !conn_body_moves(conn)) {
            request->body_state = BODY_TIMED_OUT;
            conn->is_last = true;
        }
        if (conn->waits == CONN_WAITS_BODY)
            conn_wait_for(conn, CONN_WAITS_NOT);
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
        conn_tell_body(conn);
    else if (!conn->is_discarding)
        dispatch(conn); /* as if the head had come alone: the answer may not need the body */
}

/* Parses up to the end of one message and hands on what became complete; returns the bytes used. */
static size_t consume_message(struct conn *conn, char *bytes, size_t len)
{
    size_t used = 0;
    if (conn->request == NULL) {
        if (*bytes == '\r' && !conn->is_in_empty_line) { /* RFC 9112, 2.2: before a request */
            conn->is_in_empty_line = true;
            return 1;
        }
        if (*bytes == '\n' && conn->is_in_empty_line) {
            conn->is_in_empty_line = false;
            return 1;
        }
        begin_request(conn);
        if (conn->is_in_empty_line || *bytes == '\n') {
            conn_refuse(conn, 400, str_of("an empty line that is not CR LF"));
            return len;
        }
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
            conn_release_request(conn);
    } else if (!request->message.is_head_done) {
        check_head_size(conn);
    } else if (!conn->is_with_handler) {
        dispatch(conn);
    } else {
        if (result == PARSER_END && request->body_state == BODY_COMING)
            request->body_state = BODY_DONE;
        conn_tell_body(conn);
    }
    return used;
}

/* May the next byte be parsed now? */
bool conn_can_consume(struct conn *conn)
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
void conn_keep_rest(struct conn *conn, const char *bytes, size_t len)
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

void conn_consume(struct conn *conn, char *bytes, size_t len)
{
    struct http_server *server = conn->server;
    struct conn *outer = server->batching; /* only when a handler made us go on */
    if (outer == NULL)
        server->batching = conn;
    while (len != 0 && conn_can_consume(conn)) {
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
    if (conn->duplex != NULL)
        duplex_feed(conn->duplex, (struct str){bytes, len});
    else if (!conn->is_closing && !conn->is_lost && !conn->is_lingering)
        conn_keep_rest(conn, bytes, len);
    conn_settle(conn);
}
