/*
 * host_address.h - the address by which other machines reach this one.
 *
 * The kernel is asked which of its addresses it would send from. The machine's own name is not
 * looked up: in /etc/hosts it often stands for 127.0.1.1.
 */
#pragma once

#include <stddef.h>

enum { HOST_ADDRESS_BYTES = 46 }; /* the longest text of either family, its end included */

/* `family`: AF_INET or AF_INET6. Never waits and sends nothing. 0, or -errno when the machine has
 * no route to anywhere else (-ENETUNREACH); then `text` is the loopback address. */
int host_address(int family, char text[HOST_ADDRESS_BYTES]);
