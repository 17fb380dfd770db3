/*
 * tls_reason.h - what OpenSSL reports, as sentences that say what is wrong and what helps.
 */
#pragma once

#include <stddef.h>

struct tls;
struct x509_store_ctx_st;

/* The first of OpenSSL's queued errors: the ones behind it only repeat it. Empties the queue. */
const char *tls_first_error(void);
/* The same for a session whose handshake, read or write has failed. */
void tls_reason_of_error(char *text, size_t bytes, const struct tls *tls);
/* Why a chain was refused; `host` is whom the certificate had to be for, NULL: a client's. */
void tls_reason_of_certificate(char *text, size_t bytes, struct x509_store_ctx_st *chain,
                               const char *host);
