/*
 * tls_digest.h - hashes that protocols ask for.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>

enum { TLS_SHA1_BYTES = 20 };

/* SHA-1 of the pieces, one behind the other: no secret rests on it. False when OpenSSL has no
 * memory for it, or does without SHA-1. */
bool tls_sha1(const struct str *pieces, uint32_t npieces, unsigned char digest[TLS_SHA1_BYTES]);
/* Base64 (RFC 4648, 4) of at most TLS_BASE64_MAX bytes, with a NUL; its length without that. */
enum { TLS_BASE64_MAX = 48, TLS_BASE64_BYTES = TLS_BASE64_MAX / 3 * 4 + 1 };
size_t tls_base64(struct str bytes, char text[TLS_BASE64_BYTES]);
