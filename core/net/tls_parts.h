/*
 * tls_parts.h - the inside of TLS sessions and contexts. Private to net/tls*.
 */
#pragma once

#include "net/tls.h"
#include "net/tls_wire.h"

#include <openssl/ssl.h>

enum { TLS_REASON_BYTES = 320, TLS_HOST_BYTES = 64 };

struct tls_certificates;
struct tls_tickets;

struct tls_context {
    SSL_CTX *ctx;    /* NULL: a client's for which there was no memory, and is to be made yet */
    unsigned nusers; /* its owner and each session */
    uint64_t nresumed;
    struct tls_tickets *tickets;           /* a client's, else NULL */
    struct tls_certificates *certificates; /* a server's, else NULL */
    void (*free_certificates)(struct tls_certificates *certificates);
    bool verifies;    /* a client's */
    bool wants_trust; /* the system's authorities are still to be loaded */
};

struct tls {
    SSL *ssl; /* NULL: a server's that still waits for a first record */
    struct tls_wire wire;
    struct tls_context *context;
    char *host;   /* a client's: whom it wants to talk to; a server's: whom its client named */
    char *origin; /* "host:port" */
    bool had_ticket;
    bool has_shaken_hands;
    bool is_doomed; /* the reason is there already */
    char reason[TLS_REASON_BYTES];
    char certified_host[TLS_HOST_BYTES]; /* see tls_is_certified_for */
};

/* Neither client nor server yet, and without `ssl` until tls_begin. */
struct tls *tls_new(struct tls_context *context);
/* False, and doomed, when there is no memory for it. */
bool tls_begin(struct tls *tls);
/* Its handshake is going to fail, for that reason. */
void tls_doom(struct tls *tls, const char *reason);
/* After the handshake: whether the certificate is for the host, as far as a client wants to know.
 */
bool tls_has_expected_peer(const struct tls *tls);
struct tls *tls_of(const SSL *ssl);
