/*
 * answer_head.h - what the client asks of the head of an answer, beyond what the parser does.
 *
 * Works on the bytes of a complete head; keeps nothing.
 */
#pragma once

#include "base/str.h"
#include "http/parser.h"

#include <stdbool.h>
#include <stdint.h>

/* How long the server says that it keeps the connection (Keep-Alive: timeout=5, max=100). */
struct keep_alive {
    bool has_timeout;
    bool has_max;
    uint64_t timeout_s;
    uint64_t max; /* requests that may still come */
};

/* NULL, or what is wrong with how the body is framed. */
const char *answer_check_framing(const struct message *message);
/* Whether something about an answer that is good should keep its connection from being used again.
 */
bool answer_is_doubtful(const struct message *message);
/* Makes the line ends inside of folded values blanks (RFC 9112, 5.2). `head` is the message's first
 * byte. */
void answer_unfold(const struct message *message, char *head);
struct keep_alive answer_keep_alive(const struct message *message, const char *head);
/* For a reply that is no HTTP at all: what it seems to be instead, or NULL. */
const char *answer_guess(struct str bytes);
