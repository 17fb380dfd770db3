/*
 * upload.h - the body of a request that is more than bytes at hand: it comes in pieces, or it waits
 * until the server asks for it (RFC 9110, 10.1.1).
 *
 * Part of a fetch, on the same thread; NULL in one whose body is plain bytes or none. Nothing is
 * gathered here: the fetch borrows one piece at a time, and asks for the next when the connection
 * has room for it.
 */
#pragma once

#include "base/str.h"
#include "loop/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct fetch;

/* A length that nobody knows: the body is sent in chunks. */
#define UPLOAD_CHUNKED UINT64_MAX

struct upload {
    struct fetch *fetch;
    struct timer timer; /* runs until it is sent unasked, or until its room is told */
    uint64_t length;    /* of all of it, or UPLOAD_CHUNKED */
    uint64_t given_bytes;
    uint64_t expect_ms; /* how long the server has for asking; 0: it does not have to */
    bool is_stream;     /* it comes in pieces */
    bool has_room;      /* for the next piece */
    bool is_begun;      /* a piece was given: it cannot be sent again */
    bool is_ended;      /* the last piece was given */
    bool is_end_sent;
    bool is_held;     /* until the server asks */
    bool is_unwanted; /* the answer has come, and makes the rest pointless */
};

/* ---- before fetch_start, whose body is NULL for a stream ---- */

/* The body comes in pieces of so many bytes altogether, or UPLOAD_CHUNKED. */
void upload_stream(struct fetch *fetch, uint64_t length);
/* The body waits for the server to ask, but not longer than so many milliseconds, from 1. */
void upload_expect(struct fetch *fetch, uint64_t most_ms);

/* ---- while it is under way ---- */

/* Whether a piece may be given now. When that becomes so, on_change is called. */
bool upload_wants_more(const struct fetch *fetch);
/* The next piece, not empty; borrowed until the next is wanted or the fetch is over. False: the
 * fetch has failed, as there are more bytes than `length` said; on_change is not called. */
bool upload_give(struct fetch *fetch, struct str bytes);
/* There are no more pieces. False: the fetch has failed, as there are less bytes than that. */
bool upload_end(struct fetch *fetch);
/* Whether nobody reads what would still come: the fetch is over, or its answer is a refusal. */
bool upload_is_unwanted(const struct fetch *fetch);

/* ---- for the fetch and its carriers ---- */

void upload_free(struct fetch *fetch);
/* A connection begins to send the request, for the first time or again. */
void upload_begin(struct fetch *fetch);
/* The server asks for the body. */
void upload_asked(struct fetch *fetch);
/* The head of the answer has come. */
void upload_answered(struct fetch *fetch);
/* The carrier has taken all that there is; `has_space` says whether it can take another piece. */
void upload_taken(struct fetch *fetch, bool has_space);
/* Whether all of the body of any fetch was taken by its carrier. */
bool upload_is_sent(const struct fetch *fetch);
