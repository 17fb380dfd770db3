/*
 * forwarded.h - who asks, when a proxy asks for somebody: as X-Forwarded-For and X-Forwarded-Proto
 * say, or Forwarded (RFC 7239) in their place, by the option forwarded_header; believed only from
 * the peers that the option forwarded_allow_ips lists.
 *
 * A proxy writes one of the two and hands the other on as the client made it up: so the other does
 * not count at all. Of the one, each element is believed when who wrote it is: the last was written
 * by the peer, each other by the one that the element behind it names.
 */
#pragma once

#include "base/ip_address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct request;

enum { FORWARDED_ADDRESS_BYTES = 64 };

struct forwarded {
    bool is_believed; /* the peer is one of the proxies */
    bool has_client;  /* false: a process behind a Unix socket, and `client` is not set */
    struct ip_address client;
    bool is_https;  /* how the client asked the first proxy that is believed */
    uint32_t depth; /* elements that are believed */
};

/* One element as text: a view into the request. */
struct forwarded_hop {
    struct str node;
    struct str proto; /* empty: not said */
    struct str host;
};

/* The elements from the last to the first: begins with a zeroed one. */
struct forwarded_trail {
    const struct request *request;
    uint32_t lines_done; /* of the head, from its end */
    struct str rest;     /* of the present line */
};

/* Whether the address, or NULL for a Unix socket, is one of forwarded_allow_ips. */
bool forwarded_trusts(const struct http_server *server, const struct ip_address *address);
struct forwarded forwarded_look(const struct request *request);
/* False at the end, and where nonsense begins. */
bool forwarded_trail_next(struct forwarded_trail *trail, struct forwarded_hop *hop);

/* The client's address as text, "unix" for a process behind a Unix socket; returns its length. */
size_t forwarded_client(const struct request *request, char text[FORWARDED_ADDRESS_BYTES]);
/* Whether the client asked over TLS: us, or a proxy that is believed. */
bool forwarded_is_https(const struct request *request);
