/*
 * br (RFC 7932). Its window, and so its memory, is 16 MiB at most, and as large as the server chose
 * it.
 */
#include "base/mem.h"
#include "http/decoder.h"

#include <brotli/decode.h>
#include <stdlib.h>

static void *allocate(void *data, size_t bytes)
{
    (void)data;
    return mem_try_grow(NULL, bytes);
}

static void give_back(void *data, void *block)
{
    (void)data;
    free(block);
}

static void *open_brotli(void)
{
    return BrotliDecoderCreateInstance(allocate, give_back, NULL);
}

static const char *run(void *state, struct str *in, char *out, size_t room, size_t *made)
{
    BrotliDecoderState *brotli = state;
    if (BrotliDecoderIsFinished(brotli))
        return in->len != 0 ? "there is something behind its end" : NULL;
    const uint8_t *next_in = (const uint8_t *)in->ptr;
    uint8_t *next_out = (uint8_t *)out;
    size_t avail_in = in->len, avail_out = room;
    BrotliDecoderResult result =
        BrotliDecoderDecompressStream(brotli, &avail_in, &next_in, &avail_out, &next_out, NULL);
    *in = (struct str){(const char *)next_in, avail_in};
    *made = room - avail_out;
    return result == BROTLI_DECODER_RESULT_ERROR
               ? BrotliDecoderErrorString(BrotliDecoderGetErrorCode(brotli))
               : NULL;
}

static bool is_whole(void *state)
{
    return BrotliDecoderIsFinished(state);
}

static void close_brotli(void *state)
{
    BrotliDecoderDestroyInstance(state);
}

const struct coding coding_brotli = {
    .names = {"br"},
    .open = open_brotli,
    .run = run,
    .is_whole = is_whole,
    .close = close_brotli,
};
