/*
 * gzip (RFC 1952, several members too) and deflate, which is zlib's format (RFC 1950), but raw
 * (RFC 1951) from servers that took its name by the word.
 */
#include "base/mem.h"
#include "http/decoder.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

enum { WINDOW_GZIP = 15 + 16, WINDOW_ZLIB = 15, WINDOW_RAW = -15 };

struct zlib {
    z_stream stream;
    bool is_gzip;
    bool is_open;
    bool is_ended;       /* a member was whole, and nothing came behind it */
    unsigned char first; /* of deflate: the byte that tells with the second which of both it is */
    bool has_first;
};

static void *allocate(void *data, unsigned count, unsigned bytes)
{
    (void)data;
    return mem_try_zeroed((size_t)count * bytes);
}

static void give_back(void *data, void *block)
{
    (void)data;
    free(block);
}

static bool start(struct zlib *zlib, int window)
{
    zlib->is_open = inflateInit2(&zlib->stream, window) == Z_OK;
    return zlib->is_open;
}

static void *open_deflate(void)
{
    struct zlib *zlib = MEM_TRY_NEW(struct zlib);
    if (zlib == NULL)
        return NULL;
    zlib->stream.zalloc = allocate;
    zlib->stream.zfree = give_back;
    return zlib;
}

static void *open_gzip(void)
{
    struct zlib *zlib = open_deflate();
    if (zlib == NULL || !start(zlib, WINDOW_GZIP)) {
        free(zlib);
        return NULL;
    }
    zlib->is_gzip = true;
    return zlib;
}

static int feed(struct zlib *zlib, const char *bytes, size_t len)
{
    zlib->stream.next_in = (unsigned char *)bytes;
    zlib->stream.avail_in = (uInt)len;
    return inflate(&zlib->stream, Z_NO_FLUSH);
}

/* RFC 1950, 2.2: the first two bytes, as a number, are a multiple of 31, and the method is 8. */
static bool is_zlib(unsigned char first, unsigned char second)
{
    return (first & 0x0f) == 8 && ((unsigned)first << 8 | second) % 31 == 0;
}

/* 0; -EAGAIN: one byte more is needed; -ENOMEM. */
static int find_out(struct zlib *zlib, struct str *in)
{
    if (!zlib->has_first) {
        zlib->first = (unsigned char)in->ptr[0];
        zlib->has_first = true;
        in->ptr++;
        in->len--;
    }
    if (in->len == 0)
        return -EAGAIN;
    unsigned char none;
    if (!start(zlib, is_zlib(zlib->first, (unsigned char)in->ptr[0]) ? WINDOW_ZLIB : WINDOW_RAW))
        return -ENOMEM;
    zlib->stream.next_out = &none;
    zlib->stream.avail_out = 0;
    feed(zlib, (const char *)&zlib->first, 1);
    return 0;
}

static const char *run(void *state, struct str *in, char *out, size_t room, size_t *made)
{
    struct zlib *zlib = state;
    int status = in->len != 0 && !zlib->is_open ? find_out(zlib, in) : 0;
    if (status != 0)
        return status == -ENOMEM ? decoder_no_memory : NULL;
    if (in->len != 0 && zlib->is_ended) {
        if (!zlib->is_gzip)
            return "there is something behind its end";
        inflateReset(&zlib->stream); /* the next member */
        zlib->is_ended = false;
    }
    if (!zlib->is_open || zlib->is_ended)
        return NULL;
    zlib->stream.next_out = (unsigned char *)out;
    zlib->stream.avail_out = (uInt)room;
    int result = feed(zlib, in->ptr, in->len);
    in->ptr += in->len - zlib->stream.avail_in;
    in->len = zlib->stream.avail_in;
    *made = room - zlib->stream.avail_out;
    if (result == Z_STREAM_END) {
        zlib->is_ended = true;
        return NULL;
    }
    if (result == Z_OK || result == Z_BUF_ERROR)
        return NULL;
    return zlib->stream.msg != NULL ? zlib->stream.msg
           : result == Z_NEED_DICT  ? "it needs a dictionary"
                                    : decoder_no_memory;
}

static bool is_whole(void *state)
{
    return ((struct zlib *)state)->is_ended;
}

static void close_zlib(void *state)
{
    struct zlib *zlib = state;
    if (zlib->is_open)
        inflateEnd(&zlib->stream);
    free(zlib);
}

const struct coding coding_gzip = {
    .names = {"gzip", "x-gzip"},
    .open = open_gzip,
    .run = run,
    .is_whole = is_whole,
    .close = close_zlib,
};

const struct coding coding_deflate = {
    .names = {"deflate"},
    .open = open_deflate,
    .run = run,
    .is_whole = is_whole,
    .close = close_zlib,
};
