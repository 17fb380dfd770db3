/*
 * tls_identity.h - a certificate with its chain and the private key that goes with it, from files
 * in PEM form; for servers, and for clients that have to say who they are.
 */
#pragma once

#include "base/fault.h"

#include <stdbool.h>

struct ssl_ctx_st;

/* `key_file` NULL: in cert_file. False with a sentence that names the file. */
bool tls_identity_use(struct ssl_ctx_st *ctx, const char *cert_file, const char *key_file,
                      struct fault *fault);
