/*
 * Life and answers of a connection; intake.c cuts its bytes into requests, patience.c has its
 * deadlines.
 *
 * The answers of a batch gather in the server's `out` until the read is used up, then leave in one
 * write.
 */
#include "http/conn.h"

#include "base/log.h"
#include "base/mem.h"
#include "http/address_limit.h"
#include "http/conn_parts.h"
#include "http/duplex.h"
#include "http/introduction.h"
#include "http/request.h"
#include "http/server_state.h"
#include "loop/loop.h"
#include "net/stream.h"

#include <errno.h>
#include <stdlib.h>

static void go_on(struct conn *conn);

/* ---- answers ---- */

struct buf *conn_out(struct conn *conn)
{
    struct http_server *server = conn->server;
    return server->batching == conn ? &server->out : &server->side_out;
}

void conn_send(struct conn *conn, struct str body)
{
    struct buf *out = conn_out(conn);
    struct str pieces[2] = {{out->ptr, out->len}, body};
    conn->sent_bytes += out->len + body.len;
    if (out->len + body.len != 0 && !conn->is_lost && !conn->is_closing &&
        stream_write(conn->stream, pieces, body.len != 0 ? 2 : 1) != 0) {
        conn->is_lost = true; /* the end comes as an event: nothing is torn down under a caller */
        stream_read_start(conn->stream);
    }
    out->len = 0;
    if (stream_queued_bytes(conn->stream) != 0 && !conn->is_closing &&
        conn->waits != CONN_WAITS_SEND)
        conn_wait_for(conn, CONN_WAITS_SEND);
}

void conn_flush(struct conn *conn, struct str body)
{
    bool is_in_batch = conn->server->batching == conn;
    if (!is_in_batch || body.len != 0 || conn_out(conn)->len >= CONN_BATCH_MAX)
        conn_send(conn, body);
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

static void send_continue(struct conn *conn)
{
    conn->is_continue_due = false;
    buf_add_text(conn_out(conn), "HTTP/1.1 100 Continue\r\n\r\n");
    conn_flush(conn, (struct str){0});
}

void conn_release_request(struct conn *conn)
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
        conn_release_request(conn);
    }
    if (conn->server->batching == conn)
        return; /* the batch goes on by itself */
    go_on(conn);
}

static void start_idling(struct conn *conn)
{
    conn->is_idle = true;
    conn_wait_for(conn, conn->server->is_draining ? CONN_WAITS_DRAIN : CONN_WAITS_NEXT);
    if (conn->server->is_paused)
        server_resume_accepting(conn->server);
}

/* What is due when a batch is over and the connection goes on. */
void conn_settle(struct conn *conn)
{
    bool is_answering = conn->is_with_handler;
    if (conn->is_closing || conn->is_lost || conn->is_lingering)
        return;
    if (conn->is_last && !is_answering && !conn->is_discarding) {
        conn_finish(conn);
        return;
    }
    if (conn->waits == CONN_WAITS_SEND || is_answering)
        return;
    if (conn->request == NULL && !conn->is_idle)
        start_idling(conn);
    else if (conn->request == NULL)
        return; /* an empty line: time runs on */
    else if (conn->is_discarding && !conn_body_moves(conn))
        conn_close(conn);
    else if (conn->is_discarding)
        conn_wait_for(conn, CONN_WAITS_BODY);
    else if (conn->waits != CONN_WAITS_HEAD) /* not restarted by each byte of a slow head */
        conn_wait_for(conn, CONN_WAITS_HEAD);
}

/* Parses what was read ahead, after an answer or a drain. */
static void go_on(struct conn *conn)
{
    struct buf rest = conn->pending;
    if (conn->is_closing || conn->is_lingering)
        return;
    if (rest.len != 0 && conn_can_consume(conn) &&
        (conn->request == NULL || conn->request->message.is_head_done)) {
        conn->pending = (struct buf){0};
        conn_consume(conn, rest.ptr, rest.len);
        buf_deinit(&rest);
    } else {
        conn_settle(conn);
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
        send_continue(conn);
    if (conn->waits != CONN_WAITS_SEND)
        conn_wait_for(conn, CONN_WAITS_BODY);
    stream_read_start(conn->stream);
}

/* ---- events of the stream ---- */

/* Half a head goes on behind what came of it before: the parser wants it in one piece. Not read in
 * place, as room for more would be held by every client that never sends it. */
static void read_head(struct conn *conn, char *bytes, size_t len)
{
    struct buf head = conn->pending;
    conn->pending = (struct buf){0};
    if (buf_try_reserve(&head, len) != 0) {
        buf_deinit(&head);
        conn_close(conn);
        return;
    }
    buf_add(&head, bytes, len);
    conn_consume(conn, head.ptr + head.len - len, len);
    buf_deinit(&head);
}

static void on_end(struct conn *conn)
{
    if (conn->is_lingering && stream_queued_bytes(conn->stream) != 0 && !conn->is_lost)
        return; /* it only said that it will ask nothing more */
    if (!conn->is_with_handler && conn->request == NULL && !conn->is_lost &&
        stream_queued_bytes(conn->stream) != 0) {
        conn->is_last = true;
        conn_finish(conn);
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
    if (conn->is_lingering)
        conn_linger_on(conn);
    if (conn->is_lingering || conn->is_lost)
        return;
    if (conn->request != NULL && !conn->request->message.is_head_done) {
        read_head(conn, bytes, (size_t)nread);
        return;
    }
    if (conn->pending.len != 0 || !conn_can_consume(conn)) {
        conn_keep_rest(conn, bytes, (size_t)nread);
        return;
    }
    conn_consume(conn, bytes, (size_t)nread);
}

static void on_drain(void *owner)
{
    struct conn *conn = owner;
    const struct http_handler *handler = conn->server->handler;
    if (conn->is_lingering) {
        conn_finish(conn);
        return;
    }
    if (conn->waits == CONN_WAITS_SEND)
        conn_wait_for(conn, CONN_WAITS_NOT);
    if (conn->is_with_handler) {
        if (conn->request->is_answer_begun)
            handler->on_drain(handler->data, conn->request);
        return;
    }
    conn->is_blocked = false;
    go_on(conn);
}

void conn_closed(struct conn *conn)
{
    struct http_server *server = conn->server;
    ENSURE(!deadline_is_running(&conn->deadline));
    if (conn->request != NULL)
        server_put_request(server, conn->request);
    address_limit_leave(conn);
    link_remove(&conn->link);
    buf_deinit(&conn->pending);
    free(conn->announcement);
    free(conn);
    server_conn_closed(server);
}

static void on_closed(void *owner)
{
    conn_closed(owner);
}

/* The end of a TLS handshake, for which there was as much time as there is now for a head. */
static void on_secured(void *owner, int status)
{
    struct conn *conn = owner;
    if (status != 0 && status != -EPROTONOSUPPORT) {
        log_debug("a TLS handshake failed: %s", stream_tls_reason(conn->stream));
        conn_close(conn);
        return;
    }
    conn->is_misplaced = status != 0;
    conn->is_securing = false;
    conn_wait_for(conn, conn->server->is_draining ? CONN_WAITS_DRAIN : CONN_WAITS_HEAD);
    stream_read_start(conn->stream);
}

static const struct stream_events stream_events = {
    .on_connect = on_secured,
    .on_read = on_read,
    .on_drain = on_drain,
    .on_close = on_closed,
};

void conn_use_stream(struct conn *conn)
{
    stream_set_owner(conn->stream, &stream_events, conn);
}

/* ---- life ---- */

static const struct parser_events parser_events = {
    .on_body = conn_on_body,
    .on_chunk = conn_on_chunk,
};

void conn_open(struct http_server *server, int fd, uint8_t service)
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
    parser_init(&conn->parser, &parser_events, conn);
    server_conn_opened(server);
    conn->is_idle = true; /* with less patience than between two requests */
    conn->service = service & (uint8_t)~HTTP_EXPECTS_PROXY;
    if (conn->service != service)
        introduction_begin(conn);
    else
        conn_admit(conn);
}

void conn_admit(struct conn *conn)
{
    bool has_tls = conn->service == HTTP_SERVES_TLS;
    enum address_verdict verdict = address_limit_enter(conn);
    if (verdict == ADDRESS_FLOOD || (verdict == ADDRESS_SURPLUS && has_tls)) {
        stream_reset(conn->stream);
        conn_close(conn);
        return;
    }
    if (verdict == ADDRESS_SURPLUS) {
        conn_turn_away(conn, 503, str_of("too many connections from this address"));
        return;
    }
    bool is_late = conn->server->is_draining && !has_tls; /* a handshake has its own time */
    conn_wait_for(conn, is_late ? CONN_WAITS_DRAIN : CONN_WAITS_HEAD);
    conn->is_securing = has_tls;
    if (has_tls)
        stream_accept_tls(conn->stream, conn->server->tls);
    else
        stream_read_start(conn->stream);
}

/* The last answer is on its way: close once it has left, reading what the client still sends,
 * because closing over unread bytes would make the kernel throw the answer away. */
void conn_finish(struct conn *conn)
{
    size_t queued_bytes = stream_queued_bytes(conn->stream);
    if (conn->request != NULL)
        conn_release_request(conn);
    if (!conn->is_lingering) {
        conn->is_lingering = true;
        conn->linger_until_ms = loop_now_ms(conn->server->loop) + CONN_LINGER_TOTAL_MS;
        buf_deinit(&conn->pending);
        stream_shutdown(conn->stream);
        stream_read_start(conn->stream);
    }
    conn_wait_for(conn, queued_bytes != 0 ? CONN_WAITS_SEND : CONN_WAITS_END);
}

/* An idle client may have sent its next request already, and closing now would fail it. So it has
 * half a second more: what comes is answered with Connection: close. Who is in the middle of a
 * request, an answer or a handshake has its own time, and may be idle for as long after it. */
void conn_drain(struct conn *conn)
{
    if (conn->is_closing || conn->is_securing || conn->is_lingering)
        return;
    if (conn->request == NULL && stream_queued_bytes(conn->stream) == 0)
        conn_wait_for(conn, CONN_WAITS_DRAIN);
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
    if (conn->duplex != NULL)
        duplex_cut(conn->duplex);
    else
        stream_close(conn->stream);
}
