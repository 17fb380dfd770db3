/*
 * tls_trust.h - the authorities that certificates are checked against: a file's, or the system's
 * wherever a distribution keeps them.
 *
 * Loading some 140 of them takes 17 ms and 850 KB, so they are loaded once for all threads of the
 * process; where there is a directory with one file each, only those that are asked for.
 */
#pragma once

#include "base/fault.h"

struct x509_store_st;

/* A reference for the caller (X509_STORE_free); NULL with a sentence that says what to do.
 * `ca_file` NULL: the system's. May be called on any thread. */
struct x509_store_st *tls_trust_get(const char *ca_file, struct fault *fault);
