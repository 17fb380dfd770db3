/*
 * request_lines.h - the head of a request line by line: whether it is written to the letter, and
 * what its fields mean for its framing and its connection.
 *
 * llhttp finds the parts; it lets pass more than RFC 9112 does, and reads lists in its own way. So
 * nothing that it concludes from a field of a request is believed here.
 */
#pragma once

#include "http/parser.h"

/* `base`: the first byte of the head; `end`: behind the last that is known. NULL when all is well,
 * else what is wrong. Trims the blanks behind values; fills in what Host, Transfer-Encoding,
 * Connection, Upgrade and Expect say, and head_len. */
const char *request_lines_read(struct message *message, const char *base, const char *end);
/* Where a head ends that request_lines_read has refused: behind the first empty line from `from`
 * on, or at `end`. */
const char *request_lines_end(const char *from, const char *end);
