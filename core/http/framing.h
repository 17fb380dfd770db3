/*
 * framing.h - where the body of an answer begins and ends in what a connection brings (RFC 9112, 6
 * and 7): a length, chunks with their extensions and trailers, or the end of the connection.
 *
 * One per connection, begun anew behind each head. Copies nothing but trailers: pieces of the body
 * stay where they were read.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    FRAMING_AROUND_MAX = 64 * 1024, /* bytes of chunk sizes, extensions and trailers, and so many */
    FRAMING_AROUND_PER_BYTE = 16,   /* more for each byte of the body */
    FRAMING_TRAILERS_MAX = 256,
};

enum framing_kind { FRAMED_BY_NOTHING, FRAMED_BY_LENGTH, FRAMED_BY_CHUNKS, FRAMED_BY_END };

enum framing_result {
    FRAMING_PIECE, /* of the body */
    FRAMING_MORE,  /* all was used */
    FRAMING_DONE,  /* the body is whole; what is behind it was not touched */
    FRAMING_BAD,
    FRAMING_TOO_LARGE,
};

struct framing {
    struct buf *trailers; /* lines "name: value\n" are added */
    uint64_t left;        /* of the body, or of the chunk */
    uint64_t body_bytes;
    uint64_t around_bytes;
    const char *reason; /* after FRAMING_BAD and FRAMING_TOO_LARGE */
    size_t line_at;     /* where the present line of the trailers begins in `trailers` */
    uint32_t ntrailers;
    uint8_t kind;    /* enum framing_kind */
    uint8_t state;   /* of chunks */
    bool has_digits; /* of the size of a chunk */
};

void framing_begin(struct framing *framing, enum framing_kind kind, uint64_t length,
                   struct buf *trailers);
/* Takes from the front of `bytes`. */
enum framing_result framing_next(struct framing *framing, struct str *bytes, struct str *piece);
/* How many of the next bytes are of the body, whatever they are; 0: that is not known. */
uint64_t framing_sure_bytes(const struct framing *framing);
/* So many of them came, and need not be looked at. */
void framing_skip(struct framing *framing, size_t bytes);
/* The connection ended in good order: whether that ends the body as well. */
bool framing_ends_with(const struct framing *framing);
