/*
 * Frames of a WebSocket: the same messages, pings and end however the bytes are cut; nothing beyond
 * a limit; text is UTF-8; and what was received is, written again, received as the same.
 *
 * The first byte of an input says what the reader expects (bits below), the rest is what comes.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "http/websocket_coder.h"
#include "http/websocket_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 64 * 1024, BYTEWISE_MAX = 4096, MAX_MESSAGE = 1000 };
enum { MASKS = 1, COMPRESSES = 2, SMALL_FRAMES = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct websocket_coder *coder;

static bool is_utf8(struct str text)
{
    const unsigned char *at = (const unsigned char *)text.ptr, *end = at + text.len;
    while (at < end) {
        int more = *at < 0x80 ? 0 : *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : 1;
        uint32_t code = more == 0 ? *at : *at & (0x3fu >> more);
        if ((*at >= 0x80 && *at < 0xc2) || *at > 0xf4 || end - at <= more)
            return false;
        for (int i = 1; i <= more; i++) {
            if ((at[i] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (at[i] & 0x3fu);
        }
        if ((more == 2 && code < 0x800) || (more == 3 && code < 0x10000) || code > 0x10ffff ||
            (code >= 0xd800 && code < 0xe000))
            return false;
        at += more + 1;
    }
    return true;
}

static void check_event(const struct websocket_reader *reader, enum websocket_event event,
                        struct str payload)
{
    if (event == WEBSOCKET_TEXT)
        ENSURE(is_utf8(payload));
    if (event == WEBSOCKET_TEXT || event == WEBSOCKET_BINARY)
        ENSURE(payload.len <= MAX_MESSAGE);
    if (event == WEBSOCKET_PING || event == WEBSOCKET_PONG)
        ENSURE(payload.len <= WEBSOCKET_CONTROL_MAX);
    if (event == WEBSOCKET_CLOSE) {
        ENSURE(payload.len <= WEBSOCKET_REASON_MAX && is_utf8(payload));
        ENSURE(reader->code == WEBSOCKET_NO_CODE || websocket_is_code(reader->code));
        ENSURE(reader->code != WEBSOCKET_NO_CODE || payload.len == 0);
    }
    if (event == WEBSOCKET_FAILED)
        ENSURE(reader->reason != NULL && websocket_is_code(reader->code));
}

/* As an event of one frame is written, with a mask. */
static void check_again(enum websocket_event event, struct str payload)
{
    static const uint8_t opcodes[] = {[WEBSOCKET_TEXT] = 0x81,
                                      [WEBSOCKET_BINARY] = 0x82,
                                      [WEBSOCKET_PING] = 0x89,
                                      [WEBSOCKET_PONG] = 0x8a};
    unsigned char head[WEBSOCKET_HEAD_MAX], mask[4] = {0x12, 0, 0xff, 0x81};
    struct websocket_reader reader;
    struct buf bytes = {0};
    struct str again;
    size_t used;
    buf_add(&bytes, (char *)head, websocket_write_head(head, opcodes[event], payload.len, mask));
    buf_add_str(&bytes, payload);
    websocket_mask(bytes.ptr + bytes.len - payload.len, payload.len, mask);
    websocket_reader_init(&reader, true, MAX_MESSAGE, MAX_MESSAGE);
    ENSURE(websocket_reader_next(&reader, bytes.ptr, bytes.len, &used, &again) == event);
    ENSURE(used == bytes.len && str_equal(again, payload));
    websocket_reader_deinit(&reader);
    buf_deinit(&bytes);
}

/* Each event in a line, as far as there are any. Bytes come in pieces of `step`; those that were
 * not used wait for more. */
static struct buf read_events(int way, const char *data, size_t len, size_t step)
{
    struct websocket_reader reader;
    struct buf events = {0}, pending = {0};
    enum websocket_event event = WEBSOCKET_NOTHING;
    websocket_reader_init(&reader, (way & MASKS) != 0, MAX_MESSAGE,
                          (way & SMALL_FRAMES) != 0 ? MAX_MESSAGE / 4 : MAX_MESSAGE);
    reader.coder = (way & COMPRESSES) != 0 ? coder : NULL;
    for (size_t at = 0; at < len && event != WEBSOCKET_CLOSE && event != WEBSOCKET_FAILED;) {
        size_t piece = step < len - at ? step : len - at;
        buf_add(&pending, data + at, piece);
        at += piece;
        do {
            struct str payload;
            size_t used = SIZE_MAX;
            event = websocket_reader_next(&reader, pending.ptr, pending.len, &used, &payload);
            ENSURE(used <= pending.len &&
                   (used != 0 || event == WEBSOCKET_NOTHING || event == WEBSOCKET_FAILED));
            ENSURE(reader.message.len <= MAX_MESSAGE + 64 + MAX_MESSAGE / 2048);
            check_event(&reader, event, payload);
            if (event == WEBSOCKET_NOTHING) {
                buf_consume(&pending, used);
                break;
            }
            buf_printf(&events, "%d ", (int)event);
            if (event == WEBSOCKET_CLOSE || event == WEBSOCKET_FAILED)
                buf_printf(&events, "%u ", reader.code);
            else
                check_again(event, payload);
            if (event != WEBSOCKET_FAILED)
                buf_add_str(&events, payload);
            buf_add_char(&events, '\n');
            buf_consume(&pending, used);
        } while (event != WEBSOCKET_CLOSE && event != WEBSOCKET_FAILED && pending.len != 0);
    }
    websocket_reader_deinit(&reader);
    buf_deinit(&pending);
    return events;
}

static void compare(struct str whole, struct buf other)
{
    if (!str_equal(whole, buf_str(&other))) {
        fprintf(stderr, "---- in one piece:\n%.*s\n---- cut:\n%.*s\n", (int)whole.len, whole.ptr,
                (int)other.len, other.ptr);
        abort();
    }
    buf_deinit(&other);
}

static void check_coder(struct str bytes)
{
    struct buf deflated = {0}, inflated = {0};
    websocket_coder_deflate(coder, bytes, &deflated);
    int status = websocket_coder_inflate(coder, buf_str(&deflated), MAX_MESSAGE, &inflated);
    ENSURE(status == (bytes.len <= MAX_MESSAGE ? 0 : -EMSGSIZE));
    ENSURE(status != 0 || str_equal(buf_str(&inflated), bytes));
    buf_deinit(&deflated);
    buf_deinit(&inflated);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (coder == NULL)
        coder = websocket_coder_new();
    if (len < 2 || len > INPUT_MAX)
        return 0;
    const char *bytes = (const char *)data + 1;
    struct buf whole = read_events(data[0], bytes, len - 1, len - 1);
    compare(buf_str(&whole), read_events(data[0], bytes, len - 1, 1 + data[0] % 13));
    if (len <= BYTEWISE_MAX)
        compare(buf_str(&whole), read_events(data[0], bytes, len - 1, 1));
    buf_deinit(&whole);
    if ((data[0] & COMPRESSES) != 0)
        check_coder((struct str){bytes, len - 1});
    return 0;
}
