/*
 * resolve.h - a host name to its addresses, without holding up the loop.
 *
 * getaddrinfo on a thread of libuv's pool, so /etc/hosts, search domains and nsswitch.conf count as
 * everywhere else. Literal addresses need no thread: see address_literal.
 */
#pragma once

#include "net/address.h"

#include <stdint.h>

struct loop;
struct resolve;

enum { RESOLVE_MAX_ADDRESSES = 16 };

/* Calls on_done once, from the loop: `count` addresses in the order to try them, borrowed until it
 * returns; or none, and `reason` for people. NULL when the thread pool refused: nothing is called.
 */
struct resolve *resolve_start(struct loop *loop, const char *host, uint16_t port,
                              void (*on_done)(void *owner, const struct address *addresses,
                                              uint32_t count, const char *reason),
                              void *owner);
/* Nothing is called any more. NULL is fine. */
void resolve_cancel(struct resolve *resolve);
