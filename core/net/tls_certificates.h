/*
 * tls_certificates.h - the certificates of a server's context, and which of them a handshake gets.
 * Private to net/tls*.
 */
#pragma once

#include "base/buf.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

struct tls_ticket_source;

struct tls_certificate {
    SSL_CTX *ctx;
    char *name; /* of its file */
    struct buf ocsp;
    bool is_fallback; /* for clients that name no host, or one that no certificate is for */
};

struct tls_certificates {
    struct tls_certificate *all;
    uint32_t count;
    bool has_kinds; /* not all keys are of one kind */
    const struct tls_ticket_source *tickets;
};

struct tls_certificates *tls_certificates_of(const SSL *ssl);

/* tls_choice.c: has the handshakes of the context get their certificates from all of them. */
void tls_choice_use(SSL_CTX *ctx);
/* Once all are read: which of them are the fallback, the first and those that go with it. */
void tls_choice_prepare(struct tls_certificates *certificates);
