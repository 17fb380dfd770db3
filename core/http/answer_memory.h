/*
 * answer_memory.h - the last head that an origin sent, with what the parser made of it. A server
 * says the same again and again, and what is alike to the byte needs no second look.
 *
 * One per origin, zeroed memory. Short, plain heads only: they have come in one read, are the
 * answer's own, no interim one's, and have no folded fields.
 */
#pragma once

#include "base/str.h"
#include "http/parser.h"

#include <stdbool.h>
#include <stdint.h>

enum { ANSWER_MEMORY_BYTES = 512, ANSWER_MEMORY_FIELDS = 16 };

struct answer_memory {
    uint32_t len; /* of the head, up to its empty line; 0: nothing is known */
    char text[ANSWER_MEMORY_BYTES];
    struct message message; /* its headers are those below */
    struct header_slice headers[ANSWER_MEMORY_FIELDS];
};

/* Whether `bytes` begin with that head. Then `message`, which was reset, is what the parser would
 * have made of it, and *used how many bytes it has. */
bool answer_memory_find(const struct answer_memory *memory, struct str bytes,
                        struct message *message, size_t *used);
/* Keeps a head that was parsed whole, if it is of that kind. */
void answer_memory_keep(struct answer_memory *memory, struct str head,
                        const struct message *message);
