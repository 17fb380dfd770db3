#include "http/address_limit.h"

#include "base/log.h"
#include "http/conn.h"
#include "http/forwarded.h"
#include "http/introduction.h"
#include "http/server_state.h"
#include "loop/loop.h"
#include "shared/address_table.h"

#include <string.h>

enum { SAID_AGAIN_MS = 60000, NETWORK_BYTES = 8 };

static void say(struct http_server *server, const struct ip_address *peer, uint32_t count)
{
    char text[IP_ADDRESS_TEXT_BYTES];
    uint64_t now_ms = loop_now_ms(server->loop);
    if (server->crowd_said_ms != 0 && now_ms - server->crowd_said_ms < SAID_AGAIN_MS)
        return;
    server->crowd_said_ms = now_ms;
    ip_address_show(peer, text);
    log_warn("%s has %u connections; those beyond %u are turned away "
             "(limit_connections_per_ip; said once a minute)",
             text, count, server->config->limit_connections_per_ip);
}

/* A client has all of its IPv6 network, so that counts as one address. */
static void take_network(const struct ip_address *peer, uint8_t address[ADDRESS_BYTES])
{
    memcpy(address, peer->bytes, ADDRESS_BYTES);
    if (!ip_address_is_four(peer))
        memset(address + NETWORK_BYTES, 0, ADDRESS_BYTES - NETWORK_BYTES);
}

/* Whom the connection counts for. False: for nobody, as behind it may be many clients. */
static bool find_client(const struct conn *conn, struct ip_address *client)
{
    return introduction_peer(conn, client) && !forwarded_trusts(conn->server, client);
}

enum address_verdict address_limit_enter(struct conn *conn)
{
    struct http_server *server = conn->server;
    uint32_t limit = server->config->limit_connections_per_ip;
    uint8_t address[ADDRESS_BYTES];
    struct ip_address client;
    if (limit == 0 || server->addresses == NULL || !find_client(conn, &client))
        return ADDRESS_WELCOME;
    take_network(&client, address);
    conn->address_place = address_table_add(server->addresses, server->seat, address);
    uint32_t count = address_table_count(server->addresses, address);
    if (count <= limit)
        return ADDRESS_WELCOME;
    say(server, &client, count);
    return count <= 2ull * limit ? ADDRESS_SURPLUS : ADDRESS_FLOOD;
}

void address_limit_leave(struct conn *conn)
{
    if (conn->address_place != ADDRESS_TABLE_NONE)
        address_table_drop(conn->server->addresses, conn->server->seat, conn->address_place);
}
