/*
 * Connections of a pool that were answered 101. They count for no origin any more; the pool cuts
 * what is left of them when it goes.
 */
#include "base/mem.h"
#include "http/pool_state.h"
#include "http/tunnel.h"

#include <stdlib.h>

struct pool_tunnel {
    struct link link;
    struct tunnel *tunnel;
};

static void on_closed(void *host)
{
    struct pool_tunnel *place = host;
    link_remove(&place->link);
    free(place);
}

static const struct tunnel_host host = {.on_closed = on_closed};

struct tunnel *pool_open_tunnel(struct pool *pool, struct stream *stream)
{
    struct pool_tunnel *place = MEM_NEW(struct pool_tunnel);
    place->tunnel = tunnel_open(pool->loop, stream, NULL, &host, place);
    link_append(&pool->tunnels, &place->link);
    return place->tunnel;
}

void pool_cut_tunnels(struct pool *pool)
{
    while (!link_is_alone(&pool->tunnels)) {
        struct pool_tunnel *place = LIST_ENTRY(pool->tunnels.next, struct pool_tunnel, link);
        link_remove(&place->link);
        tunnel_cut(place->tunnel);
    }
}
