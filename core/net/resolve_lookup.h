/*
 * resolve_lookup.h - one name asked of name servers, by c-ares on the loop: A and AAAA at once, for
 * each name of the search list in turn.
 *
 * Has a channel of c-ares, and so sockets, of its own: ending it closes them at once and touches
 * nobody else's.
 */
#pragma once

#include "net/address.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct lookup;
struct resolve_files;

enum { LOOKUP_FAMILY_MAX = 8, LOOKUP_MAX_ADDRESSES = 2 * LOOKUP_FAMILY_MAX };

enum lookup_verdict {
    LOOKUP_FOUND,
    LOOKUP_NO_NAME,    /* NXDOMAIN */
    LOOKUP_NO_ADDRESS, /* NOERROR without any */
    LOOKUP_FAILED,     /* nobody could say */
};

struct lookup_question {
    const char *name; /* lower case; a dot at its end: without search. Copied */
    const struct address *servers;
    uint32_t nservers;
    uint32_t first_server; /* of them, to begin with */
    const struct resolve_files
        *files; /* search list, tries and timeouts; borrowed during the start */
};

struct lookup_answer {
    enum lookup_verdict verdict;
    bool is_final; /* false: those of one family, the other's may follow */
    const struct address *addresses;
    uint32_t count;
    uint32_t ttl_s;     /* 0: not told */
    const char *reason; /* for people, when there is none */
};

/* Calls on_answer from the loop, never from within this call: perhaps once with is_final false,
 * then once with it true, which frees the lookup. */
struct lookup *lookup_start(struct loop *loop, const struct lookup_question *question,
                            void (*on_answer)(void *owner, const struct lookup_answer *answer),
                            void *owner);
/* Adds what it waits for, for people. */
void lookup_describe(const struct lookup *lookup, struct buf *text);
/* Nothing is called any more. NULL is fine. */
void lookup_cancel(struct lookup *lookup);
