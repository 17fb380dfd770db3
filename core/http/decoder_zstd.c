/*
 * zstd (RFC 8878), several frames too. Windows over 8 MiB are refused (RFC 9659).
 */
#include "base/mem.h"
#include "http/decoder.h"

#include <stdlib.h>
#include <zstd.h>

enum { WINDOW_LOG_MAX = 23 };

struct zstd {
    ZSTD_DStream *stream;
    size_t hint;  /* 0: a frame is whole */
    bool is_full; /* the last step filled its room: there may be more without more input */
};

static void *open_zstd(void)
{
    struct zstd *zstd = MEM_TRY_NEW(struct zstd);
    if (zstd == NULL || (zstd->stream = ZSTD_createDStream()) == NULL) {
        free(zstd);
        return NULL;
    }
    ENSURE(
        !ZSTD_isError(ZSTD_DCtx_setParameter(zstd->stream, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)));
    zstd->hint = 1;
    return zstd;
}

static const char *run(void *state, struct str *in, char *out, size_t room, size_t *made)
{
    struct zstd *zstd = state;
    if (in->len == 0 && !zstd->is_full) /* the library refuses to be asked for nothing again */
        return NULL;
    ZSTD_inBuffer input = {in->ptr, in->len, 0};
    ZSTD_outBuffer output = {out, room, 0};
    size_t hint = ZSTD_decompressStream(zstd->stream, &output, &input);
    in->ptr += input.pos;
    in->len -= input.pos;
    *made = output.pos;
    zstd->is_full = output.pos == room && hint != 0;
    if (ZSTD_isError(hint))
        return ZSTD_getErrorName(hint);
    zstd->hint = hint;
    return NULL;
}

static bool is_whole(void *state)
{
    return ((struct zstd *)state)->hint == 0;
}

static void close_zstd(void *state)
{
    struct zstd *zstd = state;
    ZSTD_freeDStream(zstd->stream);
    free(zstd);
}

const struct coding coding_zstd = {
    .names = {"zstd"},
    .open = open_zstd,
    .run = run,
    .is_whole = is_whole,
    .close = close_zstd,
};
