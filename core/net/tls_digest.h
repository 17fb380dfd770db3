/*
 * tls_digest.h - hashes that protocols ask for.
 */
#pragma once

#include "base/str.h"

enum { TLS_SHA1_BYTES = 20 };

/* SHA-1 of the pieces, one behind the other: no secret rests on it. */
void tls_sha1(const struct str *pieces, uint32_t npieces, unsigned char digest[TLS_SHA1_BYTES]);
