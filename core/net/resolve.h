/*
 * resolve.h - a host name to its addresses, without holding up the loop: from the file hosts, from
 * what was asked before, from the name servers, or from the C library for what only it knows.
 *
 * A resolver is shared by all of a loop that ask the same name servers, and remembers what they
 * said for as long as they said. Whoever asks for a name that is being asked for waits for the same
 * answer.
 */
#pragma once

#include "base/fault.h"
#include "net/address.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct resolve;
struct resolver;

enum { RESOLVE_MAX_ADDRESSES = 16 };

/* The one of this loop that asks `nameservers` ("ADDRESS[:PORT], ..."; NULL: those of the machine),
 * to be put back. NULL, with the reason, when that is no such list. */
struct resolver *resolver_get(struct loop *loop, const char *nameservers, struct fault *fault);
void resolver_put(struct resolver *resolver); /* NULL is fine */

/* What it has done so far and knows now. */
struct resolver_counts {
    const char *servers; /* "127.0.0.53:53, ..." */
    uint64_t lookups;
    uint64_t remembered; /* answers that needed none */
    uint32_t known;      /* names */
    uint32_t asking;     /* names that are being asked for */
};
void resolvers_each(struct loop *loop,
                    void (*on_resolver)(void *data, const struct resolver_counts *counts),
                    void *data);

struct resolve_news {
    const struct address *addresses; /* all that are known; with the port. Borrowed */
    uint32_t count;
    const struct address *preferred; /* one of them that resolve_prefer named; NULL: none */
    bool is_final;                   /* false: of one family; those of the other may still come */
    const char *reason;              /* for people, when there is none */
};

/* Calls on_news once or twice, the last time with is_final; for what is known at once from within
 * this call, which returns NULL when that was all. `host` is copied. */
struct resolve *resolve_start(struct resolver *resolver, const char *given, uint16_t port,
                              void (*on_news)(void *owner, const struct resolve_news *news),
                              void *owner);
/* This address answered when others of the name did not; it is preferred for as long as the name is
 * remembered. */
void resolve_prefer(struct resolver *resolver, const char *host, const struct address *address);
/* Adds what it waits for, for people. */
void resolve_describe(const struct resolve *resolve, struct buf *text);
/* Nothing is called any more, and what nobody else waits for is given up. NULL is fine. */
void resolve_cancel(struct resolve *resolve);
