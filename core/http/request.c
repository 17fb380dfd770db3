#include "http/request.h"

#include "base/mem.h"
#include "http/conn_parts.h"
#include "http/method.h"
#include "http/response.h"
#include "http/server_state.h"
#include "http/upgrade.h"
#include "loop/loop.h"
#include "net/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { BODY_COPIED_MAX = 16 * 1024 }; /* larger ones are cheaper to send than to copy */

struct str request_slice(const struct request *request, struct slice slice)
{
    return (struct str){request->base + slice.at, slice.len};
}

bool request_header(const struct request *request, struct str name, struct str *value)
{
    const struct message *message = &request->message;
    for (uint32_t i = 0; i < message->nheaders; i++) {
        if (message->headers[i].name.len == name.len &&
            str_equal_nocase(request_slice(request, message->headers[i].name), name)) {
            *value = request_slice(request, message->headers[i].value);
            return true;
        }
    }
    return false;
}

static bool is_prefix_nocase(struct str text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && str_equal_nocase((struct str){text.ptr, len}, str_of(prefix));
}

bool request_authority(const struct request *request, struct str *authority)
{
    struct str target = request_slice(request, request->message.target);
    size_t from = is_prefix_nocase(target, "http://")    ? 7
                  : is_prefix_nocase(target, "https://") ? 8
                                                         : 0;
    size_t to = from;
    if (from == 0)
        return false;
    while (to < target.len && target.ptr[to] != '/' && target.ptr[to] != '?')
        to++;
    *authority = (struct str){target.ptr + from, to - from};
    return true;
}

bool request_host(const struct request *request, struct str *host)
{
    const struct message *message = &request->message;
    if (request->base[message->target.at] != '/' && request_authority(request, host))
        return true;
    if (message->host < 0)
        return false;
    *host = request_slice(request, message->headers[message->host].value);
    return true;
}

/* The target without scheme and authority. */
static struct str origin_form(const struct request *request)
{
    struct str target = request_slice(request, request->message.target), authority;
    if (target.len == 0 || target.ptr[0] == '/' || !request_authority(request, &authority))
        return target;
    const char *rest = authority.ptr + authority.len;
    size_t len = (size_t)(target.ptr + target.len - rest);
    return len != 0 ? (struct str){rest, len} : (struct str){"/", 1};
}

struct str request_path(const struct request *request)
{
    struct str target = origin_form(request);
    const char *mark = target.len != 0 ? memchr(target.ptr, '?', target.len) : NULL;
    if (mark == target.ptr && mark != NULL)
        return (struct str){"/", 1};
    if (mark != NULL)
        target.len = (size_t)(mark - target.ptr);
    return target;
}

struct str request_query(const struct request *request)
{
    struct str target = origin_form(request);
    const char *mark = target.len != 0 ? memchr(target.ptr, '?', target.len) : NULL;
    if (mark == NULL)
        return (struct str){"", 0};
    return (struct str){mark + 1, target.len - (size_t)(mark + 1 - target.ptr)};
}

struct str request_body(const struct request *request)
{
    return request->body_slice.len != 0 ? request->body_slice : buf_str(&request->body_buf);
}

void request_detach(struct request *request)
{
    if (!request->is_transient)
        return;
    struct str head = {request->base, request->message.head_len};
    request->base = arena_copy(&request->arena, head).ptr;
    if (request->body_slice.len != 0) {
        buf_add_str(&request->body_buf, request->body_slice);
        request->body_slice = (struct str){0};
    }
    request->is_transient = false;
}

void request_limit_body(struct request *request, uint64_t bytes)
{
    request->body_limit = bytes;
    if (bytes != 0 && (request->message.content_length > bytes || request->body_seen > bytes ||
                       request->chunk_left > bytes - request->body_seen))
        request->body_state = BODY_TOO_LARGE;
}

void request_want_body(struct request *request)
{
    request->is_body_wanted = true;
    if (request->body_state == BODY_COMING)
        conn_read_body(request->conn);
}

void request_take_body(struct request *request, size_t count)
{
    request_detach(request);
    buf_consume(&request->body_buf, count);
    if (request->body_state == BODY_COMING)
        conn_make_room(request->conn);
}

int64_t request_promised_length(const struct request *request)
{
    return request->message.has_length   ? (int64_t)request->message.content_length
           : request->message.is_chunked ? -1
                                         : 0;
}

static bool is_bodyless(uint16_t status)
{
    return status == 204 || status == 304; /* RFC 9110, 6.4.1 */
}

enum { STATUS_RESET_CONTENT = 205 }; /* has a length, which is 0 (RFC 9110, 15.3.6) */

static void write_head(struct request *request, const struct answer *answer,
                       enum response_framing framing, uint64_t length)
{
    struct conn *conn = request->conn;
    struct http_server *server = conn->server;
    request->status = answer->status;
    request->is_answer_begun = true;
    request->is_answer_silent = request->message.method == METHOD_HEAD ||
                                is_bodyless(answer->status) ||
                                answer->status == STATUS_RESET_CONTENT;
    if (answer->status == STATUS_RESET_CONTENT) {
        framing = RESPONSE_LENGTH;
        length = 0;
    }
    bool closes = conn_settle_close(conn);
    struct response_head head = {
        .answer = answer,
        .framing = is_bodyless(answer->status) ? RESPONSE_NO_FRAMING : framing,
        .length = length,
        .date = loop_http_date(server->loop),
        .id = request->id,
        .closes = closes,
        .says_keepalive = !closes && request->message.version == 10,
    };
    if (conn->service == HTTP_SERVES_TLS)
        head.line = str_of(server->hsts);
    response_head_write(conn_out(conn), &head);
}

void request_answer(struct request *request, const struct answer *answer)
{
    struct conn *conn = request->conn;
    struct str later = {0};
    ENSURE(!request->is_answer_begun);
    write_head(request, answer, RESPONSE_LENGTH, answer->body.len);
    if (!request->is_answer_silent) {
        if (answer->body.len <= BODY_COPIED_MAX)
            buf_add_str(conn_out(conn), answer->body);
        else
            later = answer->body;
        request->answer_bytes = answer->body.len;
    }
    conn_flush(conn, later);
    conn_answered(conn);
}

void request_send_interim(struct request *request, uint16_t status, struct str fields)
{
    struct conn *conn = request->conn;
    struct str reason = response_reason(status);
    ENSURE(!request->is_answer_begun);
    if (request->message.version == 10)
        return;
    buf_printf(conn_out(conn), "HTTP/1.1 %u %.*s\r\n", status, (int)reason.len, reason.ptr);
    buf_add_str(conn_out(conn), fields);
    buf_add_text(conn_out(conn), "\r\n");
    conn_send(conn, (struct str){0});
}

int request_begin(struct request *request, const struct answer *answer, int64_t length,
                  struct str chunk)
{
    struct conn *conn = request->conn;
    enum response_framing framing = length >= 0 ? RESPONSE_LENGTH : RESPONSE_CHUNKED;
    ENSURE(!request->is_answer_begun);
    if (length < 0 && request->message.version == 10) {
        framing = RESPONSE_UNTIL_CLOSE; /* RFC 9112, 6.1: no chunks to an HTTP/1.0 client */
        conn->is_last = true;
    }
    write_head(request, answer, framing, length >= 0 ? (uint64_t)length : 0);
    request->is_answer_chunked = framing == RESPONSE_CHUNKED;
    request->answer_left = length >= 0 ? (uint64_t)length : UINT64_MAX;
    if (chunk.len != 0 && !request->is_answer_silent)
        return request_write(request, chunk);
    conn_flush(conn, (struct str){0});
    return conn->is_lost ? -EPIPE : 0;
}

int request_write(struct request *request, struct str bytes)
{
    struct conn *conn = request->conn;
    struct buf *out = conn_out(conn);
    ENSURE(request->is_answer_begun);
    if (conn->is_lost || conn->duplex != NULL)
        return -EPIPE;
    if (bytes.len == 0 || request->is_answer_silent) /* an empty chunk would end the body */
        return 0;
    if (bytes.len > request->answer_left)
        return -EMSGSIZE;
    if (request->answer_left != UINT64_MAX)
        request->answer_left -= bytes.len;
    request->answer_bytes += bytes.len;
    if (request->is_answer_chunked)
        buf_printf(out, "%zx\r\n", bytes.len);
    if (bytes.len > BODY_COPIED_MAX) {
        conn_flush(conn, bytes);
        bytes.len = 0;
    }
    buf_add_str(out, bytes);
    if (request->is_answer_chunked)
        buf_add(out, "\r\n", 2);
    conn_flush(conn, (struct str){0});
    return conn->is_lost ? -EPIPE : 0;
}

bool request_must_wait(const struct request *request)
{
    return stream_queued_bytes(request->conn->stream) > CONN_QUEUED_MAX;
}

bool request_is_lost(const struct request *request)
{
    return request->conn->is_lost;
}

void request_end(struct request *request)
{
    struct conn *conn = request->conn;
    if (conn->duplex != NULL) {
        upgrade_end(request);
        return;
    }
    if (request->answer_left != UINT64_MAX && request->answer_left != 0 &&
        !request->is_answer_silent) {
        request_abort(request); /* the promised length was not kept: the client must notice */
        return;
    }
    if (request->is_answer_chunked && !request->is_answer_silent)
        buf_add(conn_out(conn), "0\r\n\r\n", 5);
    conn_flush(conn, (struct str){0});
    conn_answered(conn);
}

void request_abort(struct request *request)
{
    struct conn *conn = request->conn;
    server_end_request(conn->server, request, 0);
    conn->is_with_handler = false;
    stream_reset(conn->stream);
    conn_close(conn);
}
