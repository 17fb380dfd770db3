/*
 * announcement.h - the header of the PROXY protocol, with which a proxy says for whom it connects:
 * https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, versions 1 (a line) and 2 (binary).
 *
 * Bytes alone: who may send one, and when, is introduction.h's.
 */
#pragma once

#include "base/ip_address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ANNOUNCEMENT_LINE_MAX = 107 /* of version 1, its CR LF included */ };

enum announcement_result {
    ANNOUNCEMENT_MORE, /* bytes are needed */
    ANNOUNCEMENT_READ,
    ANNOUNCEMENT_BAD, /* `fault` and `fault_at` say why */
};

struct announcement {
    struct ip_address client;
    bool has_client; /* false: the proxy speaks for itself, or does not know for whom */
    bool is_tls;     /* the client came to the proxy over TLS, the proxy says */
    size_t len;      /* of the header */
    const char *fault;
    size_t fault_at; /* which byte, from 0 */
};

/* Looks at what has come so far, from its first byte. A header of version 2 with more than
 * `max_bytes` behind its first 16 is bad. */
enum announcement_result announcement_read(struct announcement *announcement, const char *bytes,
                                           size_t len, size_t max_bytes);
