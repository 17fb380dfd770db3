/*
 * address_limit.h - limit_connections_per_ip: how many connections a client address may have.
 *
 * Counted over all workers where the server was given the table for it. Where a proxy announces for
 * whom it connects (introduction.h), that client is counted. Unix sockets and trusted proxies
 * (forwarded_allow_ips) are not limited: behind them are many clients.
 */
#pragma once

#include <stdbool.h>

struct conn;

enum address_verdict {
    ADDRESS_WELCOME,
    ADDRESS_SURPLUS, /* beyond the limit: to be told so */
    ADDRESS_FLOOD,   /* beyond twice the limit: not worth an answer */
};

/* Counts the connection, until address_limit_leave. */
enum address_verdict address_limit_enter(struct conn *conn);
void address_limit_leave(struct conn *conn);
