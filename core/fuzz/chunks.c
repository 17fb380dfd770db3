/*
 * Bodies in chunks: what the server takes apart (http/chunks) is the same however it is cut, is
 * never more than came, and what it accepts the client (http/framing) accepts with the same data.
 *
 * The client forgives more; the other way round nothing is claimed.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "http/chunks.h"
#include "http/framing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct outcome {
    enum chunks_result result;
    size_t used;
    struct buf body;
    uint64_t promised; /* by the sizes of all chunks */
};

static struct outcome read_chunks(const char *bytes, size_t len, size_t step)
{
    struct outcome outcome = {.result = CHUNKS_MORE};
    struct chunks chunks;
    chunks_begin(&chunks);
    while (outcome.used < len) {
        size_t used = SIZE_MAX, piece = len - outcome.used < step ? len - outcome.used : step;
        const char *at = bytes + outcome.used;
        struct str data = {0};
        outcome.result = chunks_next(&chunks, at, piece, &used, &data);
        ENSURE(used != 0 && used <= piece);
        outcome.used += used;
        if (outcome.result == CHUNKS_BAD) {
            ENSURE(chunks.reason != NULL);
            break;
        }
        if (outcome.result == CHUNKS_END)
            break;
        if (outcome.result == CHUNKS_BEGIN) {
            ENSURE(chunks.left != 0);
            outcome.promised += chunks.left;
        }
        if (outcome.result == CHUNKS_DATA) {
            ENSURE(data.ptr >= at && data.len <= piece && data.ptr + data.len <= at + piece);
            buf_add_str(&outcome.body, data);
        }
    }
    if (outcome.result == CHUNKS_BEGIN || outcome.result == CHUNKS_DATA)
        outcome.result = CHUNKS_MORE;
    return outcome;
}

static void check_with_framing(const struct outcome *outcome, const char *bytes, size_t len)
{
    struct buf trailers = {0}, body = {0};
    struct framing framing;
    struct str rest = {bytes, len}, piece;
    enum framing_result result;
    framing_begin(&framing, FRAMED_BY_CHUNKS, 0, &trailers);
    while ((result = framing_next(&framing, &rest, &piece)) == FRAMING_PIECE)
        buf_add_str(&body, piece);
    ENSURE(rest.len <= len && rest.ptr == bytes + (len - rest.len));
    if (outcome->result == CHUNKS_END && result != FRAMING_TOO_LARGE) {
        ENSURE(result == FRAMING_DONE);
        ENSURE(str_equal(buf_str(&body), buf_str(&outcome->body)));
        ENSURE(rest.len == len - outcome->used);
    }
    ENSURE(framing.body_bytes == body.len);
    buf_deinit(&trailers);
    buf_deinit(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *bytes = (const char *)data;
    if (len == 0)
        return 0;
    struct outcome whole = read_chunks(bytes, len, len);
    ENSURE(whole.result != CHUNKS_END || whole.promised == whole.body.len);
    for (size_t step = 1; step <= 3; step += 2) {
        struct outcome cut = read_chunks(bytes, len, step);
        ENSURE(cut.result == whole.result && cut.used == whole.used);
        ENSURE(str_equal(buf_str(&cut.body), buf_str(&whole.body)));
        buf_deinit(&cut.body);
    }
    check_with_framing(&whole, bytes, len);
    buf_deinit(&whole.body);
    return 0;
}
