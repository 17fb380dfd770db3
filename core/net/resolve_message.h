/*
 * resolve_message.h - what c-ares does not tell of a DNS message.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* For how many seconds it may be remembered that there is nothing: of the SOA that comes with such
 * an answer the smaller of its TTL and its last number (RFC 2308, 5). 0: it is not told. */
uint32_t message_negative_ttl(const unsigned char *bytes, size_t len);
