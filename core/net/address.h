/*
 * address.h - where a socket connects to: an IP address with its port, or the path of a Unix
 * socket.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { ADDRESS_TEXT_BYTES = 72 };

struct address {
    union {
        struct sockaddr base;
        struct sockaddr_storage storage;
        struct sockaddr_un local;
    } as;
};

/* "127.0.0.1" or "::1", without brackets. False when `host` is a name. */
bool address_literal(struct address *address, const char *host, uint16_t port);
/* False when the path is empty or too long for a socket. */
bool address_unix(struct address *address, struct str path);
/* Whatever the ports. */
bool address_is_same_host(const struct address *a, const struct address *b);
bool address_is_equal(const struct address *a, const struct address *b);
void address_set_port(struct address *address, uint16_t port);
/* "127.0.0.1:80" or "[::1]:80", of an IP address. */
void address_text(const struct address *address, char text[ADDRESS_TEXT_BYTES]);
/* Several, with ", " between. */
void address_add_list(struct buf *text, const struct address *addresses, uint32_t count);
