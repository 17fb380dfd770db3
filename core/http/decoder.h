/*
 * decoder.h - undoes the codings of a body (Content-Encoding) as it comes, in bounded memory.
 *
 * gzip, deflate (with the wrapping of zlib, as RFC 9110 wants it, or raw, as some send it), br and
 * zstd, several in a row. Belongs to one body. Knows neither where bytes come from nor where they
 * go. One file a library: decoder_zlib.c, decoder_brotli.c, decoder_zstd.c.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>

enum {
    DECODER_MAX_CODINGS = 4,
    DECODER_REASON_BYTES = 128,
    DECODER_STEP_BYTES = 32 * 1024, /* that an inner coding is ahead of the next */
};

struct decoder;

enum decoder_result {
    DECODER_MORE, /* all was used */
    DECODER_FULL, /* there is as much as was wanted; perhaps there is more */
    DECODER_BAD,
};

/* For the value of a Content-Encoding. NULL: there is nothing to undo, or a coding that is not
 * known, or too many. */
struct decoder *decoder_new(struct str codings);
void decoder_free(struct decoder *decoder); /* NULL is fine */
/* Takes from the front of `in` and adds to `out` until that has `most` bytes. */
enum decoder_result decoder_run(struct decoder *decoder, struct str *in, struct buf *out,
                                size_t most);
/* Nothing more will come and all has been taken. False: something is missing. */
bool decoder_finish(struct decoder *decoder);
/* After DECODER_BAD or a false decoder_finish: "malformed gzip body: incorrect data check". */
const char *decoder_reason(const struct decoder *decoder);

/* One coding, as the libraries' files offer it. */
struct coding {
    const char *names[3]; /* NULL: no more */
    void *(*open)(void);  /* NULL when memory is out */
    /* Takes from `in`, writes up to `room` bytes, says in *made how many. NULL, or what is wrong;
     * the text is copied at once. Called with nothing in `in` for what it has not given yet. */
    const char *(*run)(void *state, struct str *in, char *out, size_t room, size_t *made);
    /* Whether what came so far is whole. */
    bool (*is_whole)(void *state);
    void (*close)(void *state);
};

/* What `run` answers when memory is out. */
extern const char decoder_no_memory[];
extern const struct coding coding_gzip, coding_deflate, coding_brotli, coding_zstd;
