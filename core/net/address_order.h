/*
 * address_order.h - in which order the addresses of a name are tried.
 */
#pragma once

#include "net/address.h"

/* Sorts by RFC 6724 (what the routing table can reach first, then as its rules and policy table
 * say), then lets the families take turns, as RFC 8305, section 4, wants it. `begin_with`: the
 * family that comes first if there is one of it; AF_UNSPEC: that of the best address. Asks the
 * kernel, which sends nothing. */
void address_order(struct address *addresses, uint32_t count, int begin_with);
