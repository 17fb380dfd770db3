/*
 * topics.h - the topics of one loop: who subscribes to what, in whichever generation, and the way
 * to and from other workers (shared/mailbox.h).
 *
 * One per worker, or per VM outside of a server, on the loop's thread. Threads beside the loop send
 * through the post alone.
 */
#pragma once

#include "base/list.h"
#include "base/str.h"
#include "shared/mailbox.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct subscription;
struct vm;

struct topic {
    struct link link; /* in a chain of the table */
    struct topics *topics;
    struct link subscriptions;
    struct str name; /* its own */
};

struct topics;

/* Takes over a reference to the post; NULL: there is no way to other workers. `is_alone`: there are
 * none, and the loop ends although somebody subscribes. */
struct topics *topics_new(struct loop *loop, struct mailbox_post *post, bool is_alone);
/* No subscription is open any more. */
void topics_free(struct topics *topics);
/* Those of the VM, which get some of its own where it has none. Not on a thread beside the loop. */
struct topics *topics_of(struct vm *vm);
struct mailbox_post *topics_post(const struct topics *topics); /* NULL: none */
/* How long a message may be. */
uint64_t topics_max_bytes(const struct topics *topics);

/* To all subscribers, here and in other workers; the length has been checked. Runs no task. */
void topics_publish(struct topics *topics, struct vm *vm, struct str name, struct str bytes);

void topics_subscribe(struct topics *topics, struct subscription *subscription, struct str name);
/* Whoever waits is woken with nothing. Harmless when it is closed. What it holds can still be
 * received. */
void topics_unsubscribe(struct subscription *subscription);
/* All of them, in no order; NULL to begin and at the end. */
struct subscription *topics_next(struct topics *topics, struct subscription *after);
