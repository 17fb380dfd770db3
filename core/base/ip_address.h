/*
 * ip_address.h - an IP address as bytes, and lists of networks.
 *
 * An IPv4 address is kept as IPv6 maps it (::ffff:1.2.3.4; RFC 4291, 2.5.5.2), so that a client is
 * the same whichever socket it came through, and shown as IPv4.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

enum { IP_ADDRESS_BYTES = 16, IP_ADDRESS_TEXT_BYTES = 46 };

struct ip_address {
    uint8_t bytes[16];
};

/* "127.0.0.1" or "::1", without brackets, link or port. */
bool ip_address_read(struct ip_address *address, struct str text);
/* False for a family that has none. */
bool ip_address_of_socket(struct ip_address *address, const struct sockaddr *from);
/* From the 4 or 16 bytes of a packet. */
void ip_address_from_four(struct ip_address *address, const void *four);
void ip_address_from_six(struct ip_address *address, const void *six);
bool ip_address_is_four(const struct ip_address *address);
/* Returns the length; terminated. */
size_t ip_address_show(const struct ip_address *address, char text[IP_ADDRESS_TEXT_BYTES]);

struct ip_network {
    struct ip_address address;
    uint32_t bits; /* of the 128 */
};

struct ip_networks {
    struct ip_network *list; /* on the heap */
    uint32_t count;
    bool is_everyone; /* "*" was among them */
};

/* "127.0.0.1, 10.0.0.0/8, ::1, fd00::/8" or "*"; NULL: none. What is no network is skipped and
 * makes it return false. */
bool ip_networks_read(struct ip_networks *networks, const char *text);
bool ip_networks_have(const struct ip_networks *networks, const struct ip_address *address);
void ip_networks_deinit(struct ip_networks *networks);
