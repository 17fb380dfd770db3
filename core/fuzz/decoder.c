/*
 * Coded bodies (Content-Encoding): the same result in one piece and cut, never more than was asked
 * for, always an end.
 *
 * Input: the value of a Content-Encoding, a line end, the body.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "http/decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 256 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum end { END_WHOLE, END_EARLY, END_BAD, END_TOO_LARGE };

static enum end decode(struct str codings, struct str body, size_t step, size_t wanted,
                       struct buf *all)
{
    struct decoder *decoder = decoder_new(codings);
    struct buf out = {0};
    enum end end = END_WHOLE;
    for (size_t at = 0; at < body.len && end == END_WHOLE; at += step) {
        struct str piece = {body.ptr + at, body.len - at < step ? body.len - at : step};
        enum decoder_result result;
        do {
            size_t before = piece.len;
            result = decoder_run(decoder, &piece, &out, wanted);
            ENSURE(piece.len <= before && out.len <= wanted);
            ENSURE(result != DECODER_FULL || out.len == wanted);
            ENSURE(result != DECODER_MORE || piece.len == 0);
            buf_add_str(all, buf_str(&out));
            out.len = 0;
        } while (result == DECODER_FULL && all->len <= BODY_MAX);
        end = result == DECODER_BAD ? END_BAD : all->len > BODY_MAX ? END_TOO_LARGE : END_WHOLE;
    }
    if (end == END_WHOLE && !decoder_finish(decoder))
        end = END_EARLY;
    ENSURE((decoder_reason(decoder)[0] != '\0') == (end == END_BAD || end == END_EARLY));
    decoder_free(decoder);
    buf_deinit(&out);
    return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *line_end = len != 0 ? memchr(data, '\n', len < 64 ? len : 64) : NULL;
    if (line_end == NULL)
        return 0;
    struct str codings = {(const char *)data, (size_t)(line_end - (const char *)data)};
    struct str body = {line_end + 1, len - codings.len - 1};
    struct decoder *decoder = decoder_new(codings);
    decoder_free(decoder);
    if (decoder == NULL)
        return 0;
    struct buf whole = {0}, cut = {0};
    enum end end = decode(codings, body, body.len, 32768, &whole);
    enum end other = decode(codings, body, 1 + len % 7, 1000, &cut);
    /* What is too large is left wherever that shows, perhaps before what is bad about it. Of
     * several codings, the one that fails first depends on how much each has been given. */
    bool is_large = end == END_TOO_LARGE || other == END_TOO_LARGE;
    bool is_bad = end == END_BAD || other == END_BAD;
    ENSURE(end == other || (is_large && is_bad) ||
           (end != END_WHOLE && other != END_WHOLE && is_bad));
    if (end == END_WHOLE)
        ENSURE(str_equal(buf_str(&whole), buf_str(&cut)));
    buf_deinit(&whole);
    buf_deinit(&cut);
    return 0;
}
