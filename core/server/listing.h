/*
 * listing.h - asks every worker what is under way in it, for `moonloop ps`.
 *
 * The answers are kept in the children. A worker that does not answer within LISTING_MS, because
 * its loop is held, is done without; it is not asked again before it has answered.
 */
#pragma once

#include "server/child.h"
#include "server/master_loop.h"
#include "server/protocol.h"

enum { LISTING_MS = 1000 };

struct listing;
struct slots;

/* Calls on_done(data) at the end of each round. All is borrowed. */
struct listing *listing_new(struct master_loop *loop, struct slots *slots,
                            void (*on_done)(void *data), void *data);
void listing_free(struct listing *listing);
/* Begins a round, unless one is under way. It may end before this returns. */
void listing_start(struct listing *listing);
/* From the slots. */
void listing_on_listed(struct listing *listing, struct child *child, const struct note *note);
void listing_on_gone(struct listing *listing, const struct child *child);
