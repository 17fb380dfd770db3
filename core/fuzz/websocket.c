/*
 * Frames of a WebSocket: the same events however the bytes come, never a message beyond the limit
 * nor a text that is not UTF-8, and what was read is read again when it is sent.
 *
 * Input: a byte of options (1: the peer is a server, 2: permessage-deflate, the rest: the limit of
 * a message), then what comes.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "http/websocket_coder.h"
#include "http/websocket_reader.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct options {
    bool masks_expected;
    struct websocket_coder *coder;
    uint32_t max_message;
};

static void begin(struct websocket_reader *reader, const struct options *options)
{
    websocket_reader_init(reader, options->masks_expected, options->max_message,
                          options->max_message);
    reader->coder = options->coder;
}

/* A message that was read, sent in one frame and read again. */
static void check_sent(const struct options *options, enum websocket_event event,
                       struct str payload)
{
    static const unsigned char mask[4] = {1, 0, 255, 127};
    unsigned char head[WEBSOCKET_HEAD_MAX];
    struct websocket_reader reader;
    struct buf frame = {0};
    struct str again;
    size_t used;
    size_t size = websocket_write_head(head, event == WEBSOCKET_TEXT ? 0x81 : 0x82, payload.len,
                                       options->masks_expected ? mask : NULL);
    buf_add(&frame, head, size);
    buf_add_str(&frame, payload);
    if (options->masks_expected)
        websocket_mask(frame.ptr + size, payload.len, mask);
    begin(&reader, options);
    ENSURE(websocket_reader_next(&reader, frame.ptr, frame.len, &used, &again) == event);
    ENSURE(used == frame.len && str_equal(again, payload));
    websocket_reader_deinit(&reader);
    buf_deinit(&frame);
}

static void check(const struct options *options, const struct websocket_reader *reader,
                  enum websocket_event event, struct str payload)
{
    bool is_message = event == WEBSOCKET_TEXT || event == WEBSOCKET_BINARY;
    ENSURE(is_message || event == WEBSOCKET_FAILED || payload.len <= WEBSOCKET_CONTROL_MAX);
    if (event == WEBSOCKET_TEXT)
        ENSURE(websocket_utf8_next(0, payload.ptr, payload.len) == 0);
    if (event == WEBSOCKET_CLOSE)
        ENSURE(reader->code == WEBSOCKET_NO_CODE || websocket_is_code(reader->code));
    if (event == WEBSOCKET_FAILED)
        ENSURE(websocket_is_code(reader->code) && reader->reason != NULL);
    if (!is_message)
        return;
    ENSURE(payload.len <= options->max_message);
    check_sent(options, event, payload);
}

/* All events of these bytes, given in pieces of `step`, as text in `log`. */
static void read_all(const struct options *options, const uint8_t *data, size_t len, size_t step,
                     struct buf *log)
{
    struct websocket_reader reader;
    struct buf left = {0};
    struct str payload;
    enum websocket_event event = WEBSOCKET_NOTHING;
    size_t used;
    begin(&reader, options);
    for (size_t at = 0; at < len; at += step) {
        buf_add(&left, data + at, len - at < step ? len - at : step);
        do {
            event = websocket_reader_next(&reader, left.ptr, left.len, &used, &payload);
            ENSURE(used <= left.len);
            if (event == WEBSOCKET_NOTHING)
                break;
            check(options, &reader, event, payload);
            buf_printf(log, "%d %zu %u ", (int)event, payload.len, reader.code);
            if (event != WEBSOCKET_FAILED)
                buf_add_str(log, payload);
            buf_consume(&left, used);
        } while (event != WEBSOCKET_FAILED && event != WEBSOCKET_CLOSE);
        if (event != WEBSOCKET_NOTHING)
            break;
        buf_consume(&left, used);
    }
    websocket_reader_deinit(&reader);
    buf_deinit(&left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf whole = {0}, cut = {0}, bytes = {0};
    if (len < 2)
        return 0;
    struct options options = {
        .masks_expected = (data[0] & 1) == 0,
        .coder = (data[0] & 2) != 0 ? websocket_coder_new() : NULL,
        .max_message = 16u << (data[0] >> 4),
    };
    read_all(&options, data + 1, len - 1, len, &whole);
    read_all(&options, data + 1, len - 1, 1, &cut);
    read_all(&options, data + 1, len - 1, 1 + len % 11, &bytes);
    ENSURE(str_equal(buf_str(&whole), buf_str(&cut)));
    ENSURE(str_equal(buf_str(&whole), buf_str(&bytes)));
    websocket_coder_free(options.coder);
    buf_deinit(&whole);
    buf_deinit(&cut);
    buf_deinit(&bytes);
    return 0;
}
