#include "http/address_limit.h"

#include "base/log.h"
#include "http/conn.h"
#include "http/forwarded.h"
#include "http/server_state.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "shared/address_table.h"

enum { SAID_AGAIN_MS = 60000 };

static void say(struct http_server *server, struct str peer, uint32_t count)
{
    uint64_t now_ms = loop_now_ms(server->loop);
    if (server->crowd_said_ms != 0 && now_ms - server->crowd_said_ms < SAID_AGAIN_MS)
        return;
    server->crowd_said_ms = now_ms;
    log_warn("%.*s has %u connections; those beyond %u are turned away "
             "(limit_connections_per_ip; said once a minute)",
             (int)peer.len, peer.ptr, count, server->config->limit_connections_per_ip);
}

enum address_verdict address_limit_enter(struct conn *conn)
{
    struct http_server *server = conn->server;
    uint32_t limit = server->config->limit_connections_per_ip;
    uint8_t address[ADDRESS_BYTES];
    char text[STREAM_ADDRESS_BYTES];
    if (limit == 0 || server->addresses == NULL || !stream_peer_network(conn->stream, address))
        return ADDRESS_WELCOME;
    struct str peer = {text, stream_peer(conn->stream, text)};
    if (forwarded_trusts(server->config, peer))
        return ADDRESS_WELCOME;
    conn->address_place = address_table_add(server->addresses, server->seat, address);
    uint32_t count = address_table_count(server->addresses, address);
    if (count <= limit)
        return ADDRESS_WELCOME;
    say(server, peer, count);
    return count <= 2ull * limit ? ADDRESS_SURPLUS : ADDRESS_FLOOD;
}

void address_limit_leave(struct conn *conn)
{
    if (conn->address_place != ADDRESS_TABLE_NONE)
        address_table_drop(conn->server->addresses, conn->server->seat, conn->address_place);
}
