/*
 * tls.h - a TLS session between two pairs of buffers: bytes from the wire and to it on one side,
 * plain bytes on the other. OpenSSL behind it; knows no sockets, see stream_tls.c.
 */
#pragma once

#include "base/fault.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct tls;
struct tls_context;

struct tls_client_options {
    bool verify;         /* the certificate's chain, its dates and whose it is */
    const char *ca_file; /* PEM; NULL: the system's (SSL_CERT_FILE and SSL_CERT_DIR count) */
};

/* NULL with the reason. Sessions keep it alive: free it when no new ones are wanted. */
struct tls_context *tls_context_new_client(const struct tls_client_options *options,
                                           struct fault *fault);
void tls_context_free(struct tls_context *context); /* NULL is fine */

enum tls_result { TLS_OK, TLS_MORE /* wants bytes from the wire */, TLS_END, TLS_FAILED };

/* `host`: the name or address that the certificate has to be for. Never NULL. */
struct tls *tls_new_client(struct tls_context *context, const char *host);
void tls_free(struct tls *tls); /* NULL is fine */

/* Bytes came from the wire; they are copied. */
void tls_received(struct tls *tls, const char *bytes, size_t len);
/* TLS_OK when the handshake is done. */
enum tls_result tls_shake_hands(struct tls *tls);
/* Plain bytes. TLS_OK with *len > 0; TLS_END when the peer has said goodbye. */
enum tls_result tls_read(struct tls *tls, char *bytes, size_t cap, size_t *len);
/* Encrypts all of it. TLS_OK or TLS_FAILED. */
enum tls_result tls_write(struct tls *tls, const char *bytes, size_t len);
/* Adds our goodbye to the output. */
void tls_say_goodbye(struct tls *tls);
/* What has to go to the wire; dropped by tls_sent. */
struct str tls_output(struct tls *tls);
void tls_sent(struct tls *tls);
/* Why it failed: "the certificate has expired". */
const char *tls_reason(const struct tls *tls);
