/*
 * tls_wire.h - what OpenSSL reads from and writes to instead of a socket: bytes that have come,
 * borrowed for as long as that is possible, and a buffer of those that have to leave.
 */
#pragma once

#include "base/buf.h"

#include <openssl/bio.h>
#include <stdbool.h>

struct tls_wire {
    struct str fresh; /* borrowed; behind `rest` */
    struct buf rest;  /* came earlier and was not read yet, from `rest_at` on */
    size_t rest_at;
    struct buf out;
};

/* A BIO over it, for both directions; the wire has to outlive it. */
BIO *tls_wire_bio(struct tls_wire *wire);
void tls_wire_deinit(struct tls_wire *wire);

/* The bytes are borrowed until tls_wire_keep. */
void tls_wire_received(struct tls_wire *wire, struct str bytes);
/* Whether what has come is a whole record (RFC 8446, 5.1), or cannot become the first of a
 * handshake.
 */
bool tls_wire_has_record(struct tls_wire *wire);
/* Copies what was not read. */
void tls_wire_keep(struct tls_wire *wire);
/* What is in `out` has left. */
void tls_wire_sent(struct tls_wire *wire);
