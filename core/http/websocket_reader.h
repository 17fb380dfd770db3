/*
 * websocket_reader.h - bytes of a WebSocket to messages (RFC 6455, 5): frames, masks, fragments,
 * UTF-8, limits.
 *
 * Knows no connection. Owns only what has come of a message that is not complete; a message that
 * lies in one piece is given where it lies. An idle reader holds no memory.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct websocket_coder;

enum {
    WEBSOCKET_CONTROL_MAX = 125, /* bytes in a control frame */
    WEBSOCKET_REASON_MAX = 123,
};

enum websocket_event {
    WEBSOCKET_NOTHING, /* all is used; more has to come */
    WEBSOCKET_TEXT,
    WEBSOCKET_BINARY,
    WEBSOCKET_PING,
    WEBSOCKET_PONG,
    WEBSOCKET_CLOSE,  /* the reader's code has its code, the payload is the reason */
    WEBSOCKET_FAILED, /* against the rules or a limit: the reader's code and reason say why */
};

/* Close codes (RFC 6455, 7.4.1). */
enum websocket_code {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_NO_CODE = 1005,  /* never on the wire: the peer gave none */
    WEBSOCKET_ABNORMAL = 1006, /* never on the wire: ended without a close */
    WEBSOCKET_BAD_DATA = 1007,
    WEBSOCKET_TOO_LARGE = 1009,
    WEBSOCKET_INTERNAL_ERROR = 1011,
    WEBSOCKET_RESTART = 1012,
};

struct websocket_reader {
    struct buf message;            /* the fragments so far */
    struct websocket_coder *coder; /* permessage-deflate was agreed on; NULL: not. Borrowed */
    const char *reason;            /* of WEBSOCKET_FAILED; a literal */
    uint64_t left;                 /* payload bytes of the frame that are still to come */
    uint32_t max_message;          /* bytes, after inflating */
    uint32_t max_frame;
    uint32_t utf8;       /* where the text so far ends: see websocket_utf8_next */
    uint32_t mask;       /* as it lies in memory, turned to the next byte */
    uint16_t code;       /* of WEBSOCKET_CLOSE and WEBSOCKET_FAILED */
    uint8_t opcode;      /* of the frame */
    uint8_t kind;        /* of the message: its first opcode; 0: none has begun */
    bool masks_expected; /* the peer is a client */
    bool is_final;       /* the frame ends its message */
    bool is_masked;
    bool is_compressed; /* the message */
    bool is_in_frame;   /* its head was read */
    bool is_given;      /* message was given out: to be dropped */
};

void websocket_reader_init(struct websocket_reader *reader, bool masks_expected,
                           uint32_t max_message, uint32_t max_frame);
void websocket_reader_deinit(struct websocket_reader *reader);
/* The next event in these bytes, which are unmasked in place, and how many of them were used. Call
 * it again with the rest until WEBSOCKET_NOTHING. The payload is good until the next call, and
 * while the bytes are. After CLOSE and FAILED nothing more is read. */
enum websocket_event websocket_reader_next(struct websocket_reader *reader, char *bytes, size_t len,
                                           size_t *used, struct str *payload);

/* UTF-8 (RFC 3629) in pieces: `state` is 0 at the start and between characters, the result what to
 * go on with; UINT32_MAX: no UTF-8, whatever follows. */
uint32_t websocket_utf8_next(uint32_t state, const char *bytes, size_t len);
/* Whether a code may be sent in a close frame (RFC 6455, 7.4). */
bool websocket_is_code(uint32_t code);

/* Where a head of a frame is written; returns its bytes, 2 to 14. `opcode`: with the bits of
 * FIN (0x80) and RSV1 (0x40). `mask`: NULL for none. */
enum { WEBSOCKET_HEAD_MAX = 14 };
size_t websocket_write_head(unsigned char *to, uint8_t opcode, uint64_t len,
                            const unsigned char *mask);
/* Exclusive or with the mask, whose first byte falls on the first of `bytes`. */
void websocket_mask(char *bytes, size_t len, const unsigned char *mask);
