#include "http/upgrade.h"

#include "base/mem.h"
#include "http/conn_parts.h"
#include "http/duplex.h"
#include "http/field.h"
#include "http/request.h"
#include "http/server_state.h"

#include <stdlib.h>
#include <string.h>

static void on_lost(void *host)
{
    conn_close(host); /* the handler is cancelled, as by any client that leaves */
}

static void on_closed(void *host)
{
    conn_closed(host);
}

static const struct duplex_host host = {.on_lost = on_lost, .on_closed = on_closed};

static bool is_offered(const struct request *request, struct str protocol)
{
    const struct message *message = &request->message;
    for (uint32_t i = 0; i < message->nheaders; i++) {
        struct str name = request_slice(request, message->headers[i].name);
        struct str list = request_slice(request, message->headers[i].value);
        if (str_equal_nocase(name, str_of("upgrade")) && field_lists(list, protocol))
            return true;
    }
    return false;
}

const char *upgrade_refusal(const struct request *request, struct str protocol)
{
    if (request->is_answer_begun)
        return "the answer was begun already";
    if (request->body_state != BODY_DONE)
        return "the body of the request is not read to its end";
    if (request->message.version != 11)
        return "only HTTP/1.1 has upgrades";
    if (!request->message.is_upgrade || !is_offered(request, protocol))
        return "the client has not asked for it";
    return NULL;
}

/* It may stay for days: it keeps its head, and not a byte more. */
static void shrink(struct request *request)
{
    struct message *message = &request->message;
    struct str head = {request->base, message->head_len};
    request_detach(request);
    head.ptr = request->base;
    request->base = arena_keep_alone(&request->arena, head).ptr;
    if (message->nheaders != 0 && message->nheaders < message->headers_cap) {
        /* Moved, not cut in place: the larger block is of use to the next, what was cut off is not.
         */
        size_t bytes = message->nheaders * sizeof(*message->headers);
        struct header_slice *headers = mem_grow(NULL, bytes);
        memcpy(headers, message->headers, bytes);
        free(message->headers);
        message->headers = headers;
        message->headers_cap = message->nheaders;
    }
    if (request->body_buf.len == 0)
        buf_deinit(&request->body_buf);
}

struct duplex *upgrade_take(struct request *request, struct str protocol, struct str fields)
{
    struct conn *conn = request->conn;
    struct http_server *server = conn->server;
    struct buf *out = conn_out(conn);
    shrink(request);
    request->status = 101;
    request->is_answer_begun = true;
    request->answer_left = UINT64_MAX;
    conn->is_last = true;
    buf_add_text(out, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ");
    buf_add_str(out, protocol);
    buf_add_text(out, "\r\nX-Request-Id: ");
    buf_add(out, request->id, REQUEST_ID_BYTES);
    buf_add_text(out, "\r\n");
    buf_add_str(out, fields);
    buf_add_text(out, "\r\n");
    conn_send(conn, (struct str){0});
    conn_wait_for(conn, CONN_WAITS_NOT);
    conn->duplex =
        duplex_open(server->loop, conn->stream, server->deadlines[CONN_WAITS_SEND], &host, conn);
    duplex_hold(conn->duplex, true);
    duplex_feed(conn->duplex, buf_str(&conn->pending));
    buf_deinit(&conn->pending);
    return conn->duplex;
}

bool upgrade_is_taken(const struct request *request)
{
    return request->conn->duplex != NULL;
}

void upgrade_end(struct request *request)
{
    struct conn *conn = request->conn;
    struct duplex *duplex = conn->duplex;
    request->answer_bytes = duplex_sent_bytes(duplex);
    server_end_request(conn->server, request, request->status);
    conn->is_with_handler = false;
    conn->is_lingering = true;
    conn_release_request(conn);
    duplex_hold(duplex, false);
}
