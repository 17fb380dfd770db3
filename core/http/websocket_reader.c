#include "http/websocket_reader.h"

#include "http/websocket_coder.h"

#include <errno.h>
#include <string.h>

enum { FIN = 0x80, RSV1 = 0x40, RSV_OTHERS = 0x30, OPCODE = 0x0f, MASKED = 0x80, LEN = 0x7f };
enum opcode { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

/* Deflate makes what cannot be compressed longer: by 5 bytes for each block of at least 16 KB. */
#define COMPRESSED_MAX(max) ((uint64_t)(max) + (max) / 2048 + 64)

void websocket_reader_init(struct websocket_reader *reader, bool masks_expected,
                           uint32_t max_message, uint32_t max_frame)
{
    *reader = (struct websocket_reader){
        .masks_expected = masks_expected,
        .max_message = max_message,
        .max_frame = max_frame,
    };
}

void websocket_reader_deinit(struct websocket_reader *reader)
{
    buf_deinit(&reader->message);
}

bool websocket_is_code(uint32_t code)
{
    if (code >= 3000)
        return code <= 4999;
    return code >= 1000 && code <= 1014 && code != 1004 && code != WEBSOCKET_NO_CODE &&
           code != WEBSOCKET_ABNORMAL;
}

/* ---- UTF-8 ---- */

/* The state: how many bytes of a character are to come, and between what the next one lies. */
#define UTF8_BAD UINT32_MAX
#define UTF8_STATE(count, low, high) ((uint32_t)(count) << 16 | (uint32_t)(low) << 8 | (high))

static uint32_t utf8_lead(unsigned char c)
{
    if (c >= 0xc2 && c <= 0xdf)
        return UTF8_STATE(1, 0x80, 0xbf);
    if (c == 0xe0)
        return UTF8_STATE(2, 0xa0, 0xbf); /* shorter forms exist */
    if (c == 0xed)
        return UTF8_STATE(2, 0x80, 0x9f); /* surrogates */
    if (c >= 0xe1 && c <= 0xef)
        return UTF8_STATE(2, 0x80, 0xbf);
    if (c == 0xf0)
        return UTF8_STATE(3, 0x90, 0xbf);
    if (c >= 0xf1 && c <= 0xf3)
        return UTF8_STATE(3, 0x80, 0xbf);
    if (c == 0xf4)
        return UTF8_STATE(3, 0x80, 0x8f); /* beyond U+10FFFF */
    return UTF8_BAD;
}

static size_t ascii_run(const char *bytes, size_t len)
{
    size_t at = 0;
    uint64_t eight;
    for (; at + 8 <= len; at += 8) {
        memcpy(&eight, bytes + at, 8);
        if ((eight & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    while (at < len && (unsigned char)bytes[at] < 0x80)
        at++;
    return at;
}

uint32_t websocket_utf8_next(uint32_t state, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len && state != UTF8_BAD; at++) {
        unsigned char c = (unsigned char)bytes[at];
        if (state == 0 && c < 0x80) {
            at += ascii_run(bytes + at, len - at) - 1;
        } else if (state == 0) {
            state = utf8_lead(c);
        } else {
            uint32_t count = state >> 16, low = state >> 8 & 0xff, high = state & 0xff;
            if (c < low || c > high)
                return UTF8_BAD;
            state = count == 1 ? 0 : UTF8_STATE(count - 1, 0x80, 0xbf);
        }
    }
    return state;
}

/* ---- masks ---- */

void websocket_mask(char *bytes, size_t len, const unsigned char *mask)
{
    uint64_t eight, twice;
    uint32_t four;
    size_t at = 0;
    memcpy(&four, mask, 4);
    twice = (uint64_t)four << 32 | four;
    for (; at + 8 <= len; at += 8) {
        memcpy(&eight, bytes + at, 8);
        eight ^= twice;
        memcpy(bytes + at, &eight, 8);
    }
    for (; at < len; at++)
        bytes[at] = (char)(bytes[at] ^ mask[at % 4]);
}

/* A part of a frame's payload; the mask is turned for the part behind it. */
static void unmask(struct websocket_reader *reader, char *bytes, size_t len)
{
    unsigned char mask[4], turned[4];
    if (!reader->is_masked)
        return;
    memcpy(mask, &reader->mask, 4);
    websocket_mask(bytes, len, mask);
    for (size_t i = 0; i < 4; i++)
        turned[i] = mask[(len + i) % 4];
    memcpy(&reader->mask, turned, 4);
}

/* ---- heads ---- */

size_t websocket_write_head(unsigned char *to, uint8_t opcode, uint64_t len,
                            const unsigned char *mask)
{
    size_t at = 2, extra = len < 126 ? 0 : len < 65536 ? 2 : 8;
    to[0] = opcode;
    to[1] = (unsigned char)((mask != NULL ? MASKED : 0) | (extra == 0   ? (uint8_t)len
                                                           : extra == 2 ? 126
                                                                        : 127));
    for (size_t i = 0; i < extra; i++)
        to[at++] = (unsigned char)(len >> (8 * (extra - 1 - i)));
    if (mask != NULL) {
        memcpy(to + at, mask, 4);
        at += 4;
    }
    return at;
}

static enum websocket_event fail(struct websocket_reader *reader, uint16_t code, const char *reason)
{
    reader->code = code;
    reader->reason = reason;
    return WEBSOCKET_FAILED;
}

/* What is wrong with the first two bytes of a frame; NULL: nothing. */
static const char *head_fault(const struct websocket_reader *reader, unsigned char first,
                              unsigned char second)
{
    uint8_t opcode = first & OPCODE;
    if ((first & RSV_OTHERS) != 0)
        return "a reserved bit is set";
    if ((first & RSV1) != 0 && (reader->coder == NULL || (opcode != TEXT && opcode != BINARY)))
        return "a bit for compression is set where there is none";
    if (opcode > PONG || (opcode > BINARY && opcode < CLOSE))
        return "an opcode that does not exist";
    if (reader->masks_expected != ((second & MASKED) != 0))
        return reader->masks_expected ? "a frame without a mask" : "a frame with a mask";
    if (opcode >= CLOSE && (first & FIN) == 0)
        return "a control frame in fragments";
    if (opcode >= CLOSE && (second & LEN) > WEBSOCKET_CONTROL_MAX)
        return "a control frame of more than 125 bytes";
    if (opcode == CONTINUATION && reader->kind == 0)
        return "a continuation of nothing";
    if ((opcode == TEXT || opcode == BINARY) && reader->kind != 0)
        return "a message within another";
    return NULL;
}

static uint64_t max_payload(const struct websocket_reader *reader, bool is_compressed)
{
    uint64_t max = reader->max_message;
    if (is_compressed)
        max = COMPRESSED_MAX(max);
    return max > reader->message.len ? max - reader->message.len : 0;
}

static void begin_frame(struct websocket_reader *reader, unsigned char first, unsigned char second)
{
    reader->is_in_frame = true;
    reader->opcode = first & OPCODE;
    reader->is_final = (first & FIN) != 0;
    reader->is_masked = (second & MASKED) != 0;
    if (reader->opcode == TEXT || reader->opcode == BINARY) {
        reader->kind = reader->opcode;
        reader->is_compressed = (first & RSV1) != 0;
        reader->utf8 = 0;
    }
}

/* Reads a head if it is all there. */
static enum websocket_event read_head(struct websocket_reader *reader, const unsigned char *bytes,
                                      size_t len, size_t *used)
{
    const char *fault;
    uint64_t payload;
    size_t extra, size;
    *used = 0;
    if (len < 2)
        return WEBSOCKET_NOTHING;
    if ((fault = head_fault(reader, bytes[0], bytes[1])) != NULL)
        return fail(reader, WEBSOCKET_PROTOCOL_ERROR, fault);
    payload = bytes[1] & LEN;
    extra = payload == 126 ? 2 : payload == 127 ? 8 : 0;
    size = 2 + extra + ((bytes[1] & MASKED) != 0 ? 4 : 0);
    if (len < size)
        return WEBSOCKET_NOTHING;
    if (extra != 0)
        payload = 0;
    for (size_t i = 0; i < extra; i++)
        payload = payload << 8 | bytes[2 + i];
    if ((extra == 2 && payload < 126) || (extra == 8 && payload < 65536) || payload >> 63 != 0)
        return fail(reader, WEBSOCKET_PROTOCOL_ERROR, "a length that is not in its shortest form");
    begin_frame(reader, bytes[0], bytes[1]);
    if (reader->opcode < CLOSE &&
        (payload > reader->max_frame || payload > max_payload(reader, reader->is_compressed)))
        return fail(reader, WEBSOCKET_TOO_LARGE,
                    payload > reader->max_frame ? "the frame is too large"
                                                : "the message is too large");
    reader->left = payload;
    if (reader->is_masked)
        memcpy(&reader->mask, bytes + size - 4, 4);
    *used = size;
    return WEBSOCKET_NOTHING;
}

/* ---- payloads ---- */

static enum websocket_event end_control(struct websocket_reader *reader, struct str *payload)
{
    const unsigned char *bytes = (const unsigned char *)payload->ptr;
    reader->is_in_frame = false;
    if (reader->opcode != CLOSE)
        return reader->opcode == PING ? WEBSOCKET_PING : WEBSOCKET_PONG;
    reader->code = WEBSOCKET_NO_CODE;
    if (payload->len == 0)
        return WEBSOCKET_CLOSE;
    if (payload->len == 1)
        return fail(reader, WEBSOCKET_PROTOCOL_ERROR, "half a close code");
    reader->code = (uint16_t)(bytes[0] << 8 | bytes[1]);
    *payload = (struct str){payload->ptr + 2, payload->len - 2};
    if (!websocket_is_code(reader->code))
        return fail(reader, WEBSOCKET_PROTOCOL_ERROR, "a close code that may not be sent");
    if (websocket_utf8_next(0, payload->ptr, payload->len) != 0)
        return fail(reader, WEBSOCKET_BAD_DATA, "the reason of a close is not UTF-8");
    return WEBSOCKET_CLOSE;
}

/* The message is `payload`, which lies in `message` or in what was read. */
static enum websocket_event end_message(struct websocket_reader *reader, struct str *payload)
{
    bool is_text = reader->kind == TEXT;
    reader->kind = 0;
    reader->is_given = true;
    if (reader->is_compressed) {
        struct buf inflated = {0};
        int status =
            websocket_coder_inflate(reader->coder, *payload, reader->max_message, &inflated);
        buf_deinit(&reader->message);
        reader->message = inflated;
        *payload = buf_str(&inflated);
        if (status == -EMSGSIZE || status == -ENOMEM)
            return fail(reader, WEBSOCKET_TOO_LARGE, "the message is too large");
        if (status != 0)
            return fail(reader, WEBSOCKET_BAD_DATA, "the message is not what deflate makes");
        reader->utf8 = is_text ? websocket_utf8_next(0, payload->ptr, payload->len) : 0;
    }
    if (is_text && reader->utf8 != 0)
        return fail(reader, WEBSOCKET_BAD_DATA, "the text is not UTF-8");
    return is_text ? WEBSOCKET_TEXT : WEBSOCKET_BINARY;
}

/* A part of a data frame, as much as is there. WEBSOCKET_NOTHING: the message goes on. */
static enum websocket_event take_data(struct websocket_reader *reader, char *bytes, size_t len,
                                      struct str *payload)
{
    bool is_whole = reader->is_final && len == reader->left;
    bool is_alone = is_whole && reader->opcode != CONTINUATION && reader->message.len == 0;
    unmask(reader, bytes, len);
    reader->left -= len;
    reader->is_in_frame = reader->left != 0;
    if (reader->kind == TEXT && !reader->is_compressed) {
        reader->utf8 = websocket_utf8_next(reader->utf8, bytes, len);
        if (reader->utf8 == UTF8_BAD)
            return fail(reader, WEBSOCKET_BAD_DATA, "the text is not UTF-8");
    }
    if (is_alone) {
        *payload = (struct str){bytes, len};
        return end_message(reader, payload);
    }
    if (buf_try_reserve(&reader->message, len) != 0)
        return fail(reader, WEBSOCKET_INTERNAL_ERROR, "there is no memory for the message");
    buf_add(&reader->message, bytes, len);
    if (!is_whole)
        return WEBSOCKET_NOTHING;
    *payload = buf_str(&reader->message);
    return end_message(reader, payload);
}

static void drop_given(struct websocket_reader *reader)
{
    reader->is_given = false;
    buf_deinit(&reader->message);
}

enum websocket_event websocket_reader_next(struct websocket_reader *reader, char *bytes, size_t len,
                                           size_t *used, struct str *payload)
{
    enum websocket_event event = WEBSOCKET_NOTHING;
    size_t at = 0, step;
    *payload = (struct str){0};
    if (reader->is_given)
        drop_given(reader);
    while (event == WEBSOCKET_NOTHING) {
        if (!reader->is_in_frame) {
            event = read_head(reader, (unsigned char *)bytes + at, len - at, &step);
            at += step;
            if (step == 0)
                break;
        }
        step = len - at < reader->left ? len - at : (size_t)reader->left;
        if (reader->opcode >= CLOSE && step < reader->left)
            break; /* control frames are short: they are taken whole */
        if (reader->opcode >= CLOSE) {
            unmask(reader, bytes + at, step);
            *payload = (struct str){bytes + at, step};
            event = end_control(reader, payload);
        } else if (step != 0 || reader->left == 0) {
            event = take_data(reader, bytes + at, step, payload);
        } else {
            break;
        }
        at += step;
    }
    *used = at;
    return event;
}
