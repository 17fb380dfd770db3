#include "http/websocket_coder.h"

#include "base/mem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zlib.h>

enum { WINDOW_RAW = -15, MEMORY_LEVEL = 8, STEP_BYTES = 16 * 1024, TAIL_BYTES = 4 };

struct websocket_coder {
    z_stream in;
    z_stream out;
    bool has_in; /* each is made when it is first needed */
    bool has_out;
};

/* What each message ends with, and what is left away on the wire (RFC 7692, 7.2.1). */
static const unsigned char tail[TAIL_BYTES] = {0x00, 0x00, 0xff, 0xff};

struct websocket_coder *websocket_coder_new(void)
{
    return MEM_NEW(struct websocket_coder);
}

void websocket_coder_free(struct websocket_coder *coder)
{
    if (coder == NULL)
        return;
    if (coder->has_in)
        inflateEnd(&coder->in);
    if (coder->has_out)
        deflateEnd(&coder->out);
    free(coder);
}

/* One more byte than the limit is asked for: whether it comes tells who is beyond. 1: the bytes end
 * with a final block, which a sender may use at any time (RFC 7692, 7.2.3.5). */
static int inflate_piece(z_stream *in, const void *bytes, size_t len, uint64_t max, struct buf *out)
{
    int status = Z_OK;
    in->next_in = (unsigned char *)bytes;
    in->avail_in = (uInt)len;
    do {
        size_t step = max + 1 - out->len < STEP_BYTES ? (size_t)(max + 1 - out->len) : STEP_BYTES;
        if (buf_try_reserve(out, step) != 0)
            return -ENOMEM;
        in->next_out = (unsigned char *)out->ptr + out->len;
        in->avail_out = (uInt)step;
        status = inflate(in, Z_SYNC_FLUSH);
        out->len += step - in->avail_out;
        if (out->len > max)
            return -EMSGSIZE;
        if (status == Z_STREAM_END)
            inflateReset(in);
        else if (status != Z_OK && status != Z_BUF_ERROR)
            return status == Z_MEM_ERROR ? -ENOMEM : -EPROTO;
    } while (in->avail_in != 0 || in->avail_out == 0);
    return status == Z_STREAM_END;
}

/* Whether what was inflated ends where a block does, and not in the middle of one. */
static bool is_between_blocks(const z_stream *in)
{
    return (in->data_type & 128) != 0;
}

int websocket_coder_inflate(struct websocket_coder *coder, struct str bytes, uint64_t max,
                            struct buf *out)
{
    z_stream *in = &coder->in;
    if (!coder->has_in) {
        if (inflateInit2(in, WINDOW_RAW) != Z_OK)
            return -ENOMEM;
        coder->has_in = true;
    }
    inflateReset(in);
    int status = inflate_piece(in, bytes.ptr, bytes.len, max, out);
    if (status == 1)
        return 0;
    if (status == 0)
        status = inflate_piece(in, tail, TAIL_BYTES, max, out);
    return status == 0 && !is_between_blocks(in) ? -EPROTO : status;
}

void websocket_coder_deflate(struct websocket_coder *coder, struct str bytes, struct buf *out)
{
    z_stream *to = &coder->out;
    if (!coder->has_out) {
        ENSURE(deflateInit2(to, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_RAW, MEMORY_LEVEL,
                            Z_DEFAULT_STRATEGY) == Z_OK);
        coder->has_out = true;
    }
    deflateReset(to);
    to->next_in = (unsigned char *)bytes.ptr;
    to->avail_in = (uInt)bytes.len;
    do {
        buf_reserve(out, STEP_BYTES);
        to->next_out = (unsigned char *)out->ptr + out->len;
        to->avail_out = STEP_BYTES;
        deflate(to, Z_SYNC_FLUSH);
        out->len += STEP_BYTES - to->avail_out;
    } while (to->avail_out == 0);
    out->len -= TAIL_BYTES;
}
