/*
 * proxy.h - a forward proxy: where it listens, what it speaks, and who we are to it.
 *
 * Immutable; owned by whoever made it. Its `name` is for people, the rest holds the password.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum proxy_kind { PROXY_HTTP, PROXY_SOCKS };

struct proxy {
    int kind; /* enum proxy_kind */
    uint16_t port;
    char *text;     /* as it was given: equal texts are the same proxy */
    char *name;     /* "http://proxy:3128": without user and password */
    char *host;     /* a name or an address, without brackets */
    char *user;     /* decoded; NULL: none */
    char *password; /* decoded; "" when there is a user only */
};

/* "http://user:password@host:port", "socks5://host:port", "socks5h://...", or "host:port" for http.
 * Without a port: 80, and 1080 for SOCKS. NULL with the reason, a constant text. */
struct proxy *proxy_new(struct str text, const char **reason);
void proxy_free(struct proxy *proxy); /* NULL is fine */
/* Adds the line of the header that says who we are, or nothing. */
void proxy_add_authorization(struct buf *out, const struct proxy *proxy);
