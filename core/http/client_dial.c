/*
 * How a connection of the client comes to be: dialled, and through a proxy's tunnel where its
 * origin lies behind one.
 */
#include "http/fetch.h"
#include "http/outgoing.h"
#include "http/pool_state.h"
#include "http/proxy.h"
#include "http/tunnel.h"
#include "net/dial.h"
#include "net/stream.h"

#include <stdio.h>

static enum fetch_stage stage_of_dial(const struct dial *dial)
{
    static const enum fetch_stage stages[] = {
        [DIAL_RESOLVING] = FETCH_RESOLVING,
        [DIAL_CONNECTING] = FETCH_CONNECTING,
        [DIAL_SHAKING_HANDS] = FETCH_SHAKING_HANDS,
    };
    return stages[dial_stage(dial)];
}

enum fetch_stage client_dial_stage(const struct client_conn *conn)
{
    if (conn->dial != NULL)
        return stage_of_dial(conn->dial);
    return conn->tunnel != NULL ? tunnel_stage(conn->tunnel) : conn->dialed_stage;
}

void client_dial_describe(const struct client_conn *conn, struct buf *text)
{
    const struct proxy *proxy = conn->fetch->request->proxy;
    if (proxy != NULL && (conn->dial != NULL || conn->tunnel != NULL))
        buf_printf(text, "the proxy %s: ", proxy->name);
    size_t len = text->len;
    if (conn->dial != NULL)
        dial_describe(conn->dial, text);
    if (proxy != NULL && len >= 2 && text->len == len)
        text->len -= 2;
}

void client_dial_cancel(struct client_conn *conn)
{
    if (conn->dial != NULL)
        dial_cancel(conn->dial);
    if (conn->tunnel != NULL)
        tunnel_cancel(conn->tunnel);
    conn->dial = NULL;
    conn->tunnel = NULL;
}

static struct tls_context *tls_of(const struct origin *origin)
{
    return origin->scheme == URL_HTTPS ? pool_tls(origin->pool) : NULL;
}

static void dial(struct client_conn *conn);

/* A ticket of an earlier TLS session may have been what the server stumbled over. */
static bool dial_again(struct client_conn *conn, bool had_ticket, bool is_bad_tls)
{
    if (!had_ticket || !is_bad_tls || conn->is_dialed_again)
        return false;
    conn->is_dialed_again = true;
    dial(conn);
    return true;
}

static void add_line(void *data, const char *what, struct str value)
{
    struct buf *lines = data;
    buf_printf(lines, "%s: ", what);
    for (size_t i = 0; i < value.len; i++) /* a certificate may hold anything */
        buf_add_char(lines, (unsigned char)value.ptr[i] < 0x20 ? '?' : value.ptr[i]);
    buf_add_char(lines, '\n');
}

/* It is made. */
static void open_conn(struct client_conn *conn, struct stream *stream)
{
    struct fetch *fetch = conn->fetch;
    fetch->tls.len = 0;
    if (fetch->wants_tls) {
        stream_describe_tls(stream, add_line, &fetch->tls);
        stream_describe_client(stream, add_line, &fetch->tls);
    }
    client_conn_open(conn, stream);
}

static void on_tunnel(void *owner, const struct tunnel_result *result)
{
    struct client_conn *conn = owner;
    struct fetch *fetch = conn->fetch;
    fetch->timing.connect += result->connect_us;
    fetch->timing.tls = result->tls_us;
    conn->dialed_stage = tunnel_stage(conn->tunnel);
    conn->tunnel = NULL; /* frees itself */
    if (dial_again(conn, result->had_ticket, result->error == FETCH_BAD_TLS))
        return;
    if (result->stream == NULL)
        fetch_fail(fetch, result->error, result->reason);
    else
        open_conn(conn, result->stream);
}

static void start_tunnel(struct client_conn *conn, struct stream *stream)
{
    const struct origin *origin = conn->origin;
    struct tunnel_target target = {origin->proxy, origin->host, origin->port, tls_of(origin)};
    conn->tunnel = tunnel_start(stream, &target, on_tunnel, conn);
}

/* The proxy could not be reached. */
static void fail_at_proxy(struct fetch *fetch, enum fetch_error error, const char *reason)
{
    char text[sizeof(fetch->reason)];
    snprintf(text, sizeof(text), "the proxy %s: %s", fetch->request->proxy->name, reason);
    fetch_fail(fetch, error, text);
}

static void on_dialed(void *owner, const struct dial_result *result)
{
    static const enum fetch_error errors[] = {
        [DIAL_BAD_NAME] = FETCH_BAD_NAME,
        [DIAL_REFUSED] = FETCH_REFUSED,
        [DIAL_CLOSED] = FETCH_CLOSED,
        [DIAL_BAD_TLS] = FETCH_BAD_TLS,
    };
    struct client_conn *conn = owner;
    struct fetch *fetch = conn->fetch;
    fetch->timing.dns = result->took_us[DIAL_RESOLVING];
    fetch->timing.connect = result->took_us[DIAL_CONNECTING];
    fetch->timing.tls = result->took_us[DIAL_SHAKING_HANDS];
    conn->dialed_stage = stage_of_dial(conn->dial);
    conn->dial = NULL; /* frees itself */
    if (dial_again(conn, result->had_ticket, result->error == DIAL_BAD_TLS))
        return;
    if (result->stream == NULL && fetch->request->proxy != NULL)
        fail_at_proxy(fetch, errors[result->error], result->reason);
    else if (result->stream == NULL)
        fetch_fail(fetch, errors[result->error], result->reason);
    else if (conn->origin->proxy != NULL)
        start_tunnel(conn, result->stream);
    else
        open_conn(conn, result->stream);
}

static struct dial_target target_of(const struct origin *origin)
{
    const struct pool_options *options = &origin->pool->options;
    if (origin->proxy != NULL)
        return (struct dial_target){
            .host = origin->proxy->host,
            .port = origin->proxy->port,
            .resolver = origin->pool->resolver,
        };
    return (struct dial_target){
        .host = origin->host,
        .port = origin->port,
        .resolver = origin->pool->resolver,
        .unix_path = origin->unix_path,
        .open_socket = options->open_socket,
        .open_data = options->open_data,
        .tls = tls_of(origin),
    };
}

static void dial(struct client_conn *conn)
{
    struct dial_target target = target_of(conn->origin);
    conn->dial = dial_start(conn->origin->pool->loop, &target, on_dialed, conn);
}

void client_conn_dial(struct origin *origin, struct fetch *fetch)
{
    dial(client_conn_new(origin, fetch));
}
