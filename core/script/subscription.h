/*
 * subscription.h - one subscriber of a topic: messages that it has not received yet, in a bounded
 * queue, and what to do when that is full.
 *
 * On the loop's thread. Made by a task, closed when the task's scope is left, when Lua closes it or
 * lets go of it; its memory goes with Lua's handle. Messages that nobody waits for are kept as
 * bytes that all subscriptions share.
 */
#pragma once

#include "base/str.h"
#include "script/task.h"
#include "script/wait_queue.h"

#include <stdbool.h>
#include <stdint.h>

struct topic;

/* What happens to a message when the queue is full. */
enum overflow {
    OVERFLOW_DROP_OLDEST, /* the one that has waited longest goes */
    OVERFLOW_DROP_NEWEST, /* it is not taken */
    OVERFLOW_CLOSE,       /* the subscription ends: what is there can still be received */
};

/* A message, as often as it is needed. */
struct blob {
    uint32_t nrefs;
    uint32_t len;
    char bytes[];
};

struct subscription_entry {
    struct blob *blob;
    uint32_t nlost; /* before it */
};

struct subscription {
    struct vm *vm;
    struct topic *topic; /* NULL: closed */
    struct link link;    /* in the topic's subscriptions */
    struct link wake;    /* in the topics' list of those whose waiters can go on */
    struct scope_holding holding;
    struct wait_queue *queue; /* of those who wait for a message; Lua's, held by queue_ref */
    int queue_ref;
    enum overflow overflow;
    uint32_t limit; /* messages */
    uint64_t limit_bytes;
    struct subscription_entry *entries; /* a ring */
    uint32_t capacity;
    uint32_t head;
    uint32_t count;
    uint64_t nbytes;
    uint32_t nlost; /* since the last message */
    uint64_t total_lost;
    uint64_t nreceived;
    bool is_overrun; /* closed by OVERFLOW_CLOSE */
};

/* A message on its way to several subscriptions: copied when the first has to keep it. */
struct delivery {
    struct str bytes;
    struct blob *blob;
};

/* Once all have had it. */
void delivery_deinit(struct delivery *delivery);

/* Queues it; drops what the limits say, or sets is_overrun: then it has to be closed. */
void subscription_add(struct subscription *subscription, struct delivery *delivery, uint32_t nlost);
/* Whether somebody waits for a message that is there. */
bool subscription_can_wake(const struct subscription *subscription);
/* Gives the first message to the first waiter, which may run at once: the subscription may be gone
 * then. */
void subscription_wake(struct subscription *subscription);
/* Pushes the first message as bytes, or as { bytes, lost } when some were lost before it. False:
 * there is none. */
bool subscription_take(struct subscription *subscription, lua_State *L);
/* Forgets its messages. */
void subscription_empty(struct subscription *subscription);
