/*
 * answer.h - the head that every limit sends, as long as the one that moonloop sends.
 *
 * Date and request id are constants: a limit shows what the socket and the parser cost, and both
 * are a copy of a few bytes in a server that formats the date once a second.
 */
#pragma once

#define ANSWER_TEXT "text/plain; charset=utf-8"
#define ANSWER_JSON "application/json"

/* The head is ANSWER_BEFORE, the length in decimal, ANSWER_AFTER. */
#define ANSWER_BEFORE(type)                                                                        \
    "HTTP/1.1 200 OK\r\n"                                                                          \
    "Content-Type: " type "\r\n"                                                                   \
    "Content-Length: "
#define ANSWER_AFTER                                                                               \
    "\r\nDate: Fri, 20 Nov 2026 20:00:00 GMT\r\n"                                                  \
    "X-Request-Id: 0123456789abcdef\r\n\r\n"

#define ANSWER_HELLO ANSWER_BEFORE(ANSWER_TEXT) "14" ANSWER_AFTER "Hello, world!\n"
