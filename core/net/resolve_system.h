/*
 * resolve_system.h - a name asked of the C library, on a thread of libuv's pool: for sources of
 * nsswitch.conf that nobody else knows (mDNS, LDAP, virtual machines).
 */
#pragma once

#include "net/address.h"

#include <stdint.h>

struct loop;
struct system_lookup;

enum { SYSTEM_LOOKUP_MAX = 16 };

/* Calls on_done once, from the loop: the addresses, borrowed until it returns; none: `reason`.
 * NULL when the pool refused: nothing is called. */
struct system_lookup *system_lookup_start(struct loop *loop, const char *name,
                                          void (*on_done)(void *owner,
                                                          const struct address *addresses,
                                                          uint32_t count, const char *reason),
                                          void *owner);
/* Nothing is called any more. NULL is fine. */
void system_lookup_cancel(struct system_lookup *lookup);
