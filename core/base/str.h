/*
 * str.h - a borrowed run of bytes: pointer and length, no terminator, no ownership.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *ptr;
    size_t len;
};

/* The bytes of a C string, without its terminator. NULL becomes an empty str. */
struct str str_of(const char *text);
bool str_equal(struct str a, struct str b);
/* ASCII letters compare without regard to case (RFC 9110, 5.1: field names). */
bool str_equal_nocase(struct str a, struct str b);
/* Parses an unsigned decimal number that fills the whole of `text`. False when it does not fit. */
bool str_to_u64(struct str text, uint64_t *value);
