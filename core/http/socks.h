/*
 * socks.h - the client's half of SOCKS 5 (RFC 1928, RFC 1929) as bytes in and bytes out.
 *
 * Knows no sockets. Names are resolved by the proxy.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdint.h>

struct proxy;

enum socks_result { SOCKS_MORE, SOCKS_READY, SOCKS_REFUSED, SOCKS_MALFORMED };

struct socks {
    const struct proxy *proxy; /* borrowed, as the next */
    const char *host;
    uint16_t port;
    int awaited;        /* which answer */
    const char *reason; /* after REFUSED or MALFORMED: a constant text */
};

/* Adds the first bytes to be sent to `out`. */
void socks_begin(struct socks *socks, const struct proxy *proxy, const char *host, uint16_t port,
                 struct buf *out);
/* Takes what has come off the front of `in`, and adds what is to be sent to `out`. After READY what
 * is left in `in` is the target's. */
enum socks_result socks_feed(struct socks *socks, struct buf *in, struct buf *out);
