/*
 * parser.h - bytes to the parts of a request of HTTP/1. llhttp behind it. (Answers are read by
 * answer_parser.h.)
 *
 * Parts of the head are offsets from the message's first byte, so that whoever owns the bytes may
 * move them between two calls. Checks what RFC 9112 leaves no choice about; policy (limits, Host)
 * is the connection's.
 */
#pragma once

#include "base/str.h"
#include "http/chunks.h"

#include <stdbool.h>
#include <stdint.h>

enum { PARSER_STATE_WORDS = 14, PARSER_MAX_HEAD_BYTES = 1 << 24 };

struct slice {
    uint32_t at; /* from the first byte of the message */
    uint32_t len;
};

struct header_slice {
    struct slice name;
    struct slice value; /* without white space around it */
};

/* The head of one message. Reused for the next; `headers` grows and stays. */
struct message {
    struct slice target; /* of a request */
    struct slice reason; /* of a response */
    struct header_slice *headers;
    uint32_t nheaders;
    uint32_t headers_cap;
    uint32_t max_headers; /* more fail with PARSER_TOO_MANY_HEADERS */
    uint32_t head_len;    /* known once is_head_done: of a request, with the empty line behind the
                             fields; of an answer, up to the end of the last field */
    uint64_t content_length;
    uint16_t status;
    uint8_t method;  /* enum http_method */
    uint8_t version; /* 10 or 11 */
    uint8_t nhosts;  /* Host fields seen */
    int16_t host;    /* its place in headers, or -1 */
    bool is_head_done;
    bool has_length;
    bool is_chunked;
    bool has_transfer_encoding; /* also when it is empty, or nonsense */
    bool has_other_codings;     /* of several fields or codings, or of one that is not chunked */
    bool has_bad_coding;        /* of a request: chunked is not last, or an element is empty */
    bool wants_continue;        /* Expect: 100-continue */
    bool expects_more;          /* Expect, something else */
    bool has_content_coding;    /* of an answer */
    bool is_upgrade;
    bool has_folds; /* a value goes over several lines */
    bool keeps_alive;
};

enum parser_result {
    PARSER_MORE, /* all bytes were used; the message goes on */
    PARSER_END,  /* the message is complete; bytes behind it were not touched */
    PARSER_FAILED,
};

enum parser_error {
    PARSER_OK,
    PARSER_BAD_SYNTAX,
    PARSER_BAD_METHOD,  /* a token that is no method known here */
    PARSER_BAD_VERSION, /* not HTTP/1.0 or HTTP/1.1 */
    PARSER_BAD_FRAMING, /* lengths that contradict each other */
    PARSER_TOO_MANY_HEADERS,
    PARSER_BODY_REFUSED, /* on_body or on_chunk said no */
};

/* What a parser tells its owner; each may be NULL. */
struct parser_events {
    /* Body bytes, already without chunk framing. False refuses them. */
    bool (*on_body)(void *owner, char *bytes, size_t len);
    /* A chunk of that many bytes begins. False refuses it. */
    bool (*on_chunk)(void *owner, uint64_t size);
};

struct parser {
    uint64_t state[PARSER_STATE_WORDS]; /* llhttp's */
    struct message *message;
    const char *chunk;  /* what is being parsed now, and where in the message it begins */
    const char *reason; /* ours; NULL: llhttp's */
    uint32_t chunk_at;
    enum parser_error error;
    struct chunks chunks;   /* of a request's body; llhttp reads those of answers */
    bool is_in_value;       /* of the last header */
    bool is_method_unknown; /* its end is looked for, or was found */
    bool is_in_chunks;      /* llhttp has read the head, and is not asked about the body */
    bool is_llhttp_done;    /* it takes no further message on this connection: has to be reset */
    uint8_t amendments;     /* of the head, so far */
    bool is_amending;       /* the blanks that were amended last may go on in the next bytes */
    bool is_ended;
    const struct parser_events *events;
    void *owner;
};

/* Once per connection. */
void parser_init(struct parser *parser, const struct parser_events *events, void *owner);
/* Before the first byte of each message. `message` is already reset. */
void parser_begin(struct parser *parser, struct message *message);
/* The bytes go on where the last ones ended, and until the head is done they lie behind them in
 * memory: `bytes` minus what was fed before is the first byte of the message. */
enum parser_result parser_feed(struct parser *parser, char *bytes, size_t len, size_t *used);
/* What is wrong, in the parser's own words: "Invalid character in Content-Length". */
const char *parser_reason(const struct parser *parser);

void message_reset(struct message *message);
void message_deinit(struct message *message);
