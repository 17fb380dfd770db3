/*
 * query.h - percent-encoding, and cursors over query strings, urlencoded forms and Cookie headers.
 *
 * A cursor hands out raw slices of the text it was given and allocates nothing; whoever wants a
 * value decodes it then, if needs_decoding says so.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum percent_mode {
    PERCENT_PLAIN, /* "+" is a plus: paths, headers */
    PERCENT_FORM   /* "+" is a space: query strings, urlencoded forms */
};

/* RFC 3986, 2.3: characters that mean the same encoded and not. */
bool percent_is_unreserved(unsigned char c);
/* The byte that the "%xx" at text.ptr[at] stands for, or -1. */
int percent_byte_at(struct str text, size_t at);
/* Every "%" is followed by two hexadecimal digits. */
bool percent_is_valid(struct str text);
/* Writes the decoded bytes to `out` (text.len bytes are enough; out may be text.ptr) and returns
 * how many. A "%" without two hexadecimal digits stays as it is, as in browsers. */
size_t percent_decode(char *out, struct str text, int mode);
/* Adds `text` with all but letters, digits and -._~ encoded; a space is "%20" or, for a form, "+".
 */
void percent_add(struct buf *out, struct str text, int mode);
/* Adds a path or query that may be encoded already: only what may not stand there is encoded. */
void percent_add_target(struct buf *out, struct str text);

struct query_cursor {
    struct str rest;
    struct str name;     /* raw */
    struct str value;    /* raw; empty when there is none */
    bool has_value;      /* there was a "=" */
    bool needs_decoding; /* name or value hold "%" or "+": PERCENT_FORM */
};

/* `query` is without its "?". */
void query_begin(struct query_cursor *cursor, struct str query);
/* The next pair, in order, repeated names included; pieces that are empty are left out. */
bool query_next(struct query_cursor *cursor);

struct cookie_cursor {
    struct str rest;
    struct str name;
    struct str value; /* without enclosing quotes; not decoded */
};

/* RFC 6265, 4.2.1, read leniently: blanks around names and values are dropped, pieces without "="
 * or without a name are left out. */
void cookie_begin(struct cookie_cursor *cursor, struct str header);
bool cookie_next(struct cookie_cursor *cursor);
