/*
 * url.h - absolute URLs for the client, and references to them (RFC 3986).
 *
 * Everything is a slice of the text passed in; nothing is allocated but in the buf that a caller
 * gives. See http/query.h for percent-encoding and query strings.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum url_scheme { URL_HTTP, URL_HTTPS, URL_HTTP_UNIX };

struct url {
    int scheme; /* enum url_scheme */
    bool has_userinfo;
    bool is_ipv6;        /* host is an IPv6 address, here without its brackets */
    bool has_port;       /* written in the URL */
    uint16_t port;       /* as written, else 80 or 443; 0 for http+unix */
    struct str userinfo; /* raw: "user:password", percent-encoded */
    /* As written; names compare without regard to case. For http+unix the percent-encoded path of
     * the socket: http+unix://%2Frun%2Fapp.sock/status */
    struct str host;
    struct str path;  /* raw, "" or beginning with "/" */
    struct str query; /* raw, without "?" */
    bool has_query;
    struct str fragment; /* raw, without "#"; never sent */
};

struct url_error {
    const char *reason; /* static, for people: "the port is not a number from 1 to 65535" */
    size_t offset;      /* of the offending byte */
};

/* 0, or -EINVAL with `error` filled. Control characters, spaces and backslashes are refused
 * wherever they stand, so no part can smuggle anything into a request. */
int url_parse(struct str text, struct url *url, struct url_error *error);
/* Adds what the request line needs: path ("/" when empty) and query; bytes that may not stand there
 * are percent-encoded, "%xx" stays as it is. */
void url_add_target(struct buf *out, const struct url *url);
/* Adds the value of Host: name and, unless it is the scheme's own, the port. "localhost" for
 * http+unix. */
void url_add_host(struct buf *out, const struct url *url);
/* Same scheme, host and port: connections and credentials may be shared. */
/* Whether it is what a Host field may hold: a name or an address, and a port perhaps. */
bool url_is_host(struct str text);
bool url_same_origin(const struct url *a, const struct url *b);

/* Adds the absolute URL that `reference` means when found at `base` (RFC 3986, 5.2), as for the
 * Location of a redirect: without a fragment of its own it takes base's over (RFC 9110, 10.2.2).
 * Does not check the result: url_parse does. -EINVAL when base has no scheme. */
int url_resolve(struct buf *out, struct str base, struct str reference);
