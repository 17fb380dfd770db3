/*
 * tls.h - a TLS session between two pairs of buffers: bytes from the wire and to it on one side,
 * plain bytes on the other. OpenSSL behind it; knows no sockets, see stream_tls.c.
 *
 * Sessions come from a context: tls_client.h has the client's.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls;
struct tls_context;

/* The owner's part of it: sessions that exist keep what they need. NULL is fine. */
void tls_context_free(struct tls_context *context);
/* Handshakes that took up an earlier session (RFC 8446, 2.2; RFC 5077), so far. */
uint64_t tls_context_resumed(const struct tls_context *context);

enum tls_result { TLS_OK, TLS_MORE /* wants bytes from the wire */, TLS_END, TLS_FAILED };

void tls_free(struct tls *tls); /* NULL is fine */

/* Bytes came from the wire; they are borrowed until tls_keep_received, to be called before the next
 * ones and before they go away. */
void tls_received(struct tls *tls, const char *bytes, size_t len);
void tls_keep_received(struct tls *tls);
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
/* Why it failed: "the certificate was refused: it expired on ..."; "" when it did not. */
const char *tls_reason(const struct tls *tls);
/* The handshake began with the ticket of an earlier session. */
bool tls_had_ticket(const struct tls *tls);
/* Drops those of its origin: the handshake failed, whyever. */
void tls_drop_tickets(struct tls *tls);
