/*
 * chunks.h - takes a body in chunks apart (RFC 9112, 7.1), byte for byte to the grammar.
 *
 * No memory of its own and no copies: data is handed back where it lies. Extensions and trailer
 * fields are checked and skipped; what they may be together is limited, so that a client cannot
 * send for ever without sending a body.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

enum {
    CHUNKS_EXTENSION_BYTES = 4096, /* all extensions; as many again as there were data bytes */
    CHUNKS_TRAILER_BYTES = 4096,   /* all trailer fields */
};

enum chunks_result {
    CHUNKS_MORE,  /* all bytes were used */
    CHUNKS_BEGIN, /* a chunk of `left` bytes begins, which is not 0 */
    CHUNKS_DATA,
    CHUNKS_END, /* the body is complete, trailer fields included */
    CHUNKS_BAD, /* `reason` says why */
};

struct chunks {
    uint64_t left; /* of the chunk's data */
    uint64_t data_bytes;
    uint64_t extension_bytes;
    uint32_t trailer_bytes;
    uint8_t state;
    uint8_t digits; /* of a size, leading zeros not counted */
    const char *reason;
};

void chunks_begin(struct chunks *chunks);
/* Up to the next event; `used` is how many bytes that took, `data` what CHUNKS_DATA brought. Called
 * again with what follows, until CHUNKS_END or CHUNKS_BAD. */
enum chunks_result chunks_next(struct chunks *chunks, const char *bytes, size_t len, size_t *used,
                               struct str *data);
