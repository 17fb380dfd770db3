/*
 * tls_identity.h - a certificate with its chain and the private key that goes with it, in PEM form;
 * for servers, and for clients that have to say who they are.
 */
#pragma once

#include "base/fault.h"
#include "base/str.h"

#include <stdbool.h>

struct ssl_ctx_st;

/* The files' names are for messages. */
struct tls_identity {
    struct str cert_name;
    struct str key_name;
    struct str cert; /* the certificate, then those of its chain */
    struct str key;
};

/* False with a sentence that names the file. */
bool tls_identity_use(struct ssl_ctx_st *ctx, const struct tls_identity *identity,
                      struct fault *fault);
/* The same from files; `key_file` NULL: in cert_file. */
bool tls_identity_use_files(struct ssl_ctx_st *ctx, const char *cert_file, const char *key_file,
                            struct fault *fault);
