#include "http/introduction.h"

#include "base/config.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/announcement.h"
#include "http/conn_parts.h"
#include "http/forwarded.h"
#include "http/server.h"
#include "http/server_state.h"
#include "loop/loop.h"
#include "net/stream.h"

#include <string.h>

enum { SAID_AGAIN_MS = 60000, SHOWN_BYTES = 24 };

/* ---- what is wrong ---- */

static bool is_to_be_said(struct http_server *server, uint64_t *said_ms)
{
    uint64_t now_ms = loop_now_ms(server->loop);
    bool is_due = *said_ms == 0 || now_ms - *said_ms >= SAID_AGAIN_MS;
    *said_ms = is_due ? now_ms : *said_ms;
    return is_due;
}

static void show_peer(const struct conn *conn, char text[IP_ADDRESS_TEXT_BYTES])
{
    struct ip_address address;
    if (stream_peer(conn->stream, &address))
        ip_address_show(&address, text);
    else
        memcpy(text, "unix", sizeof("unix"));
}

static void say_stranger(struct conn *conn)
{
    char peer[IP_ADDRESS_TEXT_BYTES];
    if (!is_to_be_said(conn->server, &conn->server->stranger_said_ms))
        return;
    show_peer(conn, peer);
    log_warn(
        "%s was refused: only peers in forwarded_allow_ips may connect where a PROXY header is "
        "expected (said once a minute)",
        peer);
}

/* With the first bytes of what came, so that it can be told what speaks there. */
static void say_bad(struct conn *conn, size_t at, const char *fault)
{
    char peer[IP_ADDRESS_TEXT_BYTES], shown[SHOWN_BYTES + 1] = "";
    if (!is_to_be_said(conn->server, &conn->server->bad_header_said_ms))
        return;
    show_peer(conn, peer);
    for (size_t i = 0; i < conn->pending.len && i < SHOWN_BYTES; i++) {
        char c = conn->pending.ptr[i];
        shown[i] = c >= ' ' && c <= '~' && c != '\\' ? c : '.';
    }
    log_warn("%s was refused where a PROXY header is expected: byte %zu: %s; it began with \"%s\" "
             "(said once a minute)",
             peer, at, fault, shown);
}

/* Whoever speaks plainly is told; over TLS nobody would understand it. */
static void refuse(struct conn *conn, uint16_t status, const char *reason)
{
    buf_deinit(&conn->pending);
    conn_use_stream(conn);
    if (conn->service == HTTP_SERVES_TLS) {
        stream_reset(conn->stream);
        conn_close(conn);
    } else {
        conn_turn_away(conn, status, str_of(reason));
    }
}

static void refuse_header(struct conn *conn, size_t at, const char *fault)
{
    say_bad(conn, at, fault);
    refuse(conn, 400, "a PROXY header is expected here, before anything else");
}

void introduction_timed_out(struct conn *conn)
{
    say_bad(conn, conn->pending.len, "the rest of it has not come within header_timeout");
    conn_close(conn);
}

/* ---- the header ---- */

static void on_read(void *owner, char *bytes, ssize_t nread)
{
    struct conn *conn = owner;
    if (nread < 0 && conn->pending.len != 0)
        say_bad(conn, conn->pending.len, "the connection ended there");
    if (nread < 0 || buf_try_reserve(&conn->pending, (size_t)nread) != 0) {
        conn_close(conn);
        return;
    }
    buf_add(&conn->pending, bytes, (size_t)nread);
    struct announcement *announcement = conn->announcement;
    enum announcement_result result =
        announcement_read(announcement, conn->pending.ptr, conn->pending.len,
                          conn->server->config->limit_request_header);
    if (result == ANNOUNCEMENT_BAD)
        refuse_header(conn, announcement->fault_at, announcement->fault);
    if (result != ANNOUNCEMENT_READ)
        return;
    struct buf came = conn->pending;
    conn->pending = (struct buf){0};
    conn_use_stream(conn);
    conn_admit(conn);
    if (!conn->is_closing)
        stream_feed(conn->stream, came.ptr + announcement->len, came.len - announcement->len);
    buf_deinit(&came);
}

static void on_closed(void *owner)
{
    conn_closed(owner);
}

static const struct stream_events stream_events = {.on_read = on_read, .on_close = on_closed};

void introduction_begin(struct conn *conn)
{
    struct ip_address address;
    bool has_address = stream_peer(conn->stream, &address);
    conn->announcement = MEM_NEW(struct announcement);
    if (!forwarded_trusts(conn->server, has_address ? &address : NULL)) {
        say_stranger(conn);
        refuse(conn, 403, "only proxies that are in forwarded_allow_ips may connect here");
        return;
    }
    stream_set_owner(conn->stream, &stream_events, conn);
    conn_wait_for(conn, CONN_WAITS_HEAD);
    stream_read_start(conn->stream);
}

bool introduction_is_due(const struct conn *conn)
{
    return conn->announcement != NULL && conn->announcement->len == 0;
}

bool introduction_peer(const struct conn *conn, struct ip_address *address)
{
    if (conn->announcement == NULL || !conn->announcement->has_client)
        return stream_peer(conn->stream, address);
    *address = conn->announcement->client;
    return true;
}

bool introduction_is_tls(const struct conn *conn)
{
    return stream_has_tls(conn->stream) ||
           (conn->announcement != NULL && conn->announcement->is_tls);
}
