/*
 * answer_parser.h - the head of an answer, from bytes to a message: status line and fields as RFC
 * 9112 wants them (folded values, which a client has to understand, among them).
 *
 * Works line by line as they become whole, so that what is wrong shows at once. Keeps no bytes.
 */
#pragma once

#include "http/parser.h"

#include <stdint.h>

enum answer_result { ANSWER_MORE, ANSWER_DONE, ANSWER_BAD, ANSWER_TOO_MANY };

struct answer_parser {
    struct message *message;
    const char *reason; /* after ANSWER_BAD */
    uint32_t line_at;   /* of the line that is not whole yet, from the first byte of the head */
    uint32_t scanned;   /* up to there it has no end */
    uint32_t nlines;
};

/* Before each head. `message` is already reset. */
void answer_parser_begin(struct answer_parser *parser, struct message *message);
/* `base` is the first byte of the head, `len` bytes are there: those of the last call, perhaps
 * moved, and more. At the end *used is how many the head has. */
enum answer_result answer_parser_feed(struct answer_parser *parser, const char *base, size_t len,
                                      size_t *used);
