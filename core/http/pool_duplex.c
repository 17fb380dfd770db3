/*
 * Connections of a pool that were answered 101. They count for no origin any more; the pool cuts
 * what is left of them when it goes.
 */
#include "base/mem.h"
#include "http/duplex.h"
#include "http/pool_state.h"

#include <stdlib.h>

struct pool_duplex {
    struct link link;
    struct duplex *duplex;
};

static void on_closed(void *host)
{
    struct pool_duplex *place = host;
    link_remove(&place->link);
    free(place);
}

static const struct duplex_host host = {.on_closed = on_closed};

struct duplex *pool_open_duplex(struct pool *pool, struct stream *stream)
{
    struct pool_duplex *place = MEM_NEW(struct pool_duplex);
    place->duplex = duplex_open(pool->loop, stream, NULL, &host, place);
    link_append(&pool->duplexes, &place->link);
    return place->duplex;
}

void pool_cut_duplexes(struct pool *pool)
{
    for (struct link *first; (first = link_take_first(&pool->duplexes)) != NULL;) {
        struct pool_duplex *place = LIST_ENTRY(first, struct pool_duplex, link);
        duplex_cut(place->duplex);
    }
}
