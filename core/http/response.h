/*
 * response.h - the head of an answer as bytes.
 */
#pragma once

#include "base/buf.h"
#include "http/request.h"

#include <stdbool.h>
#include <stdint.h>

enum response_framing {
    RESPONSE_LENGTH, /* Content-Length: `length` */
    RESPONSE_CHUNKED,
    RESPONSE_UNTIL_CLOSE,
    RESPONSE_NO_FRAMING, /* 1xx, 204, 304: no field about a body at all */
};

struct response_head {
    const struct answer *answer;
    enum response_framing framing;
    uint64_t length;
    const char *date;    /* 29 bytes */
    const char *id;      /* REQUEST_ID_BYTES; NULL: no request was understood */
    struct str line;     /* "Name: value\r\n": one more, unless the answer has it; or empty */
    bool closes;         /* Connection: close */
    bool says_keepalive; /* Connection: keep-alive, for HTTP/1.0 */
};

void response_head_write(struct buf *out, const struct response_head *head);
/* "Not Found" for 404; "Unknown" for a status nobody registered. */
struct str response_reason(uint16_t status);
