/*
 * outgoing.h - a request of the client as far as it is the same each time that it is sent: method,
 * URL, header fields; checked, and written as the bytes that leave.
 *
 * Counted: whoever prepares it may keep it, and every exchange that sends it holds it. Does not
 * change once outgoing_end was called.
 */
#pragma once

#include "base/buf.h"
#include "http/parser.h"
#include "http/url.h"

#include <stdbool.h>
#include <stdint.h>

struct proxy;

enum { OUTGOING_HEAD_MAX = 64 * 1024 }; /* bytes of its fields */

struct outgoing {
    uint32_t refs;
    uint8_t method; /* enum http_method */
    bool is_idempotent;
    bool has_host, has_user_agent, has_accept, has_proxy_authorization;
    bool is_forwarded; /* the proxy is asked for the whole URL; else it makes a tunnel */
    bool wants_close;  /* it says Connection: close */
    bool is_raw;       /* it is passed on: the answer's body is wanted as it comes */
    struct buf url_text;
    struct url url;       /* slices of url_text */
    struct proxy *proxy;  /* NULL: none */
    struct slice upgrade; /* of the head: the protocol that is offered; len 0: none */
    size_t line_bytes;    /* of the head: its first line */
    struct buf head;      /* without what follows from the body, and without the empty line */
};

/* With one reference, through the proxy at `proxy` (proxy_new), which does nothing for a Unix
 * socket; ptr NULL: none. NULL with the reason: nothing that could smuggle something into a request
 * passes. */
struct outgoing *outgoing_new(struct str method, struct str url, struct str proxy,
                              const char **reason);
/* False with the reason; then it can only be given up. */
bool outgoing_add(struct outgoing *outgoing, struct str name, struct str value,
                  const char **reason);
/* Offers to leave HTTP for this protocol: after a 101 the exchange has a duplex. */
bool outgoing_upgrade(struct outgoing *outgoing, struct str protocol, const char **reason);
/* Adds the fields that every request has. */
void outgoing_end(struct outgoing *outgoing);
struct outgoing *outgoing_ref(struct outgoing *outgoing);
void outgoing_unref(struct outgoing *outgoing); /* NULL is fine */
