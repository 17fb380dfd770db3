/*
 * tls_material.h - everything that a TLS server serves with, read from its files into one run of
 * bytes: by whoever may read them, before rights are dropped; used by processes that may not.
 *
 *   certfile   "a.pem", or a directory: each NAME.pem or NAME.crt in it, with its key in NAME.key
 *              or in the same file; and each directory in it with fullchain.pem and privkey.pem, as
 *              certbot makes them. Directories are read in the order of their names.
 *   CERT.ocsp  beside a certificate's file: an OCSP answer (DER) to send along (RFC 6066, 8)
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"

#include <stdbool.h>

enum tls_client_wish {
    TLS_CLIENTS_NOT_ASKED, /* for a certificate */
    TLS_CLIENTS_MAY,
    TLS_CLIENTS_MUST,
};

/* Lists of paths have newlines between; NULL: none. */
struct tls_material_files {
    const char *certfiles;
    const char *keyfiles; /* as many as certfiles, in the same order; NULL: in those */
    const char *ca_certs; /* the authorities of clients */
    enum tls_client_wish clients;
};

enum tls_material_kind {
    TLS_MATERIAL_CERT_NAME = 1, /* begins an identity */
    TLS_MATERIAL_KEY_NAME,
    TLS_MATERIAL_CERT,
    TLS_MATERIAL_KEY,
    TLS_MATERIAL_OCSP,
    TLS_MATERIAL_CA_NAME,
    TLS_MATERIAL_CA,
    TLS_MATERIAL_CLIENTS, /* one byte, enum tls_client_wish */
};

/* Appends it to `out`, to be forgotten with tls_file_forget. False with a sentence. */
bool tls_material_read(const struct tls_material_files *files, struct buf *out,
                       struct fault *fault);
/* Takes the next item off the front. False at the end, or where the bytes are none of these. */
bool tls_material_next(struct str *rest, enum tls_material_kind *kind, struct str *bytes);
/* Appends something that changes when one of the files does, or when one comes or goes; no keys. */
void tls_material_stamp(const struct tls_material_files *files, struct buf *out);
