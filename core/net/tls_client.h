/*
 * tls_client.h - TLS as a client: whom to trust, who we are, and the tickets of earlier sessions,
 * which are kept for each origin in the context and so belong to whoever owns that.
 */
#pragma once

#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>

struct tls;
struct tls_context;

/* Files in PEM form, borrowed during the call. */
struct tls_client_options {
    bool verify;           /* the certificate's chain, its dates and whose it is */
    const char *ca_file;   /* NULL: the system's (SSL_CERT_FILE and SSL_CERT_DIR count) */
    const char *cert_file; /* our own certificate with its chain; NULL: none */
    const char *key_file;  /* NULL: in cert_file */
};

/* NULL with the reason. Files that are named are read now; the system's authorities are looked for
 * when the first session begins, which fails when there are none. */
struct tls_context *tls_context_new_client(const struct tls_client_options *options,
                                           struct fault *fault);
/* `host`: the name or address that the certificate has to be for. With `port` it is what tickets
 * are kept for. Never NULL. */
struct tls *tls_new_client(struct tls_context *context, const char *host, uint16_t port);
