/*
 * coded_body.h - the body of an answer that is decoded (Content-Encoding) while it comes.
 *
 * Part of a fetch, on the same thread; NULL in one whose body comes as it is. Decodes no further
 * ahead than somebody takes, and in slices, so that a small body which becomes a large one fills
 * neither memory nor a turn of the loop.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"
#include "loop/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct decoder;
struct fetch;

enum {
    CODED_SLICE_BYTES = 256 * 1024, /* decoded in one turn of the loop */
    CODED_FREE_BYTES = 64 << 20,    /* that may come of anything */
    CODED_RATIO_DEFAULT = 1000,     /* beyond those: so many from each byte that came */
};

struct coded_body {
    struct fetch *fetch;
    struct decoder *decoder;
    struct buf encoded; /* that came and could not be decoded yet */
    size_t used;        /* of those */
    struct timer timer; /* goes on after a slice */
    uint64_t in_bytes;
    uint64_t out_bytes;
    bool is_full;  /* there is perhaps more to be had without more of the body */
    bool is_ended; /* no more comes */
};

/* For a fetch whose head has come: decodes its body, when that is coded in known ways. */
void coded_body_begin(struct fetch *fetch);
/* NULL in the fetch afterwards. */
void coded_body_free(struct fetch *fetch);
/* False: it has to fail, as its `error` and `reason` say. */
bool coded_body_add(struct fetch *fetch, struct str bytes);
/* No more comes. NULL in the fetch afterwards, when all of it has been decoded. */
bool coded_body_end(struct fetch *fetch);
/* Some of what was decoded has been taken, or all is wanted. NULL in the fetch when that was all.
 */
bool coded_body_go_on(struct fetch *fetch);
/* Whether the server may send more. */
bool coded_body_has_room(const struct fetch *fetch);
