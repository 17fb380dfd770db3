#include "script/topics.h"

#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "loop/timer.h"
#include "script/subscription.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CHAINS = 256,
    MESSAGES_PER_TURN = 1000, /* read from other workers before the loop goes round, */
    MS_PER_TURN = 5,          /* or for so long, looked at */
    MESSAGES_PER_CLOCK = 16,  /* every so many messages */
    LOOK_MS = 1000,           /* a bell that a killed worker did not ring any more */
};

struct topics {
    struct loop *loop;
    struct mailbox_post *post;
    bool is_alone;
    uint32_t nsubscriptions;
    struct fd_watch *watch; /* of the bell, while somebody subscribes */
    struct timer look;
    struct link to_wake; /* subscriptions whose waiters can go on */
    struct timer wake;
    struct link chains[CHAINS]; /* of topics, by their bucket */
};

struct topics *topics_new(struct loop *loop, struct mailbox_post *post, bool is_alone)
{
    struct topics *topics = MEM_NEW(struct topics);
    topics->loop = loop;
    topics->post = post;
    topics->is_alone = is_alone;
    link_init(&topics->to_wake);
    for (int i = 0; i < CHAINS; i++)
        link_init(&topics->chains[i]);
    return topics;
}

void topics_free(struct topics *topics)
{
    if (topics == NULL)
        return;
    ENSURE(topics->nsubscriptions == 0);
    timer_stop(topics->loop, &topics->wake);
    mailbox_unref(topics->post);
    free(topics);
}

struct topics *topics_of(struct vm *vm)
{
    if (vm->topics == NULL) {
        struct mailbox_post *post = mailbox_open_alone();
        if (post == NULL)
            log_warn("topics: what threads publish is not heard: %s", strerror(errno));
        vm->topics = vm->own_topics = topics_new(vm->loop, post, true);
    }
    return vm->topics;
}

struct mailbox_post *topics_post(const struct topics *topics)
{
    return topics->post;
}

uint64_t topics_max_bytes(const struct topics *topics)
{
    return topics->post != NULL ? mailbox_max_bytes(topics->post) : MAILBOX_MESSAGE_BYTES;
}

/* ---- topics by name ---- */

static struct link *chain_of(struct topics *topics, struct str name)
{
    return &topics->chains[mailbox_bucket(name) % CHAINS];
}

static struct topic *find(struct topics *topics, struct str name)
{
    struct link *chain = chain_of(topics, name);
    for (struct link *at = chain->next; at != chain; at = at->next) {
        struct topic *topic = LIST_ENTRY(at, struct topic, link);
        if (str_equal(topic->name, name))
            return topic;
    }
    return NULL;
}

static struct topic *topic_new(struct topics *topics, struct str name)
{
    struct topic *topic = MEM_NEW(struct topic);
    char *copy = mem_grow(NULL, name.len);
    memcpy(copy, name.ptr, name.len);
    topic->topics = topics;
    topic->name = (struct str){copy, name.len};
    link_init(&topic->subscriptions);
    link_append(chain_of(topics, name), &topic->link);
    return topic;
}

static void topic_free(struct topic *topic)
{
    link_remove(&topic->link);
    free((char *)topic->name.ptr);
    free(topic);
}

/* ---- delivery ---- */

/* The first in to_wake; it may be gone afterwards. */
static void wake_one(struct subscription *subscription)
{
    if (subscription_can_wake(subscription))
        subscription_wake(subscription);
    else if (subscription->is_overrun)
        topics_unsubscribe(subscription);
    else
        link_remove(&subscription->wake);
}

/* Outside of any task: each woken one runs before the next. */
static void wake_all(struct topics *topics)
{
    while (!link_is_alone(&topics->to_wake))
        wake_one(LIST_ENTRY(topics->to_wake.next, struct subscription, wake));
}

static void on_wake(struct timer *timer)
{
    wake_all(LIST_ENTRY(timer, struct topics, wake));
}

/* Queues it for each; who can be woken is in to_wake then. */
static void deliver(struct topics *topics, struct str name, struct str bytes, uint32_t nlost)
{
    struct topic *topic = find(topics, name);
    struct delivery delivery = {.bytes = bytes};
    if (topic == NULL)
        return;
    for (struct link *at = topic->subscriptions.next; at != &topic->subscriptions; at = at->next) {
        struct subscription *subscription = LIST_ENTRY(at, struct subscription, link);
        subscription_add(subscription, &delivery, nlost);
        if (subscription_can_wake(subscription) || subscription->is_overrun) {
            link_remove(&subscription->wake);
            link_append(&topics->to_wake, &subscription->wake);
        }
    }
    delivery_deinit(&delivery);
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* From other workers, and from threads of this one. A subscriber that is quick enough receives each
 * message before the next is read. */
static void read_messages(struct topics *topics)
{
    struct mailbox_message message;
    uint64_t end_us = now_us() + MS_PER_TURN * 1000ull;
    mailbox_hush(topics->post);
    for (int count = 1; mailbox_next(topics->post, &message); count++) {
        deliver(topics, message.topic, message.bytes, message.nlost);
        wake_all(topics);
        if (count == MESSAGES_PER_TURN || (count % MESSAGES_PER_CLOCK == 0 && now_us() >= end_us)) {
            mailbox_ring_self(topics->post);
            return;
        }
    }
}

static void on_bell(void *data)
{
    read_messages(data);
}

static void on_look(struct timer *timer)
{
    struct topics *topics = LIST_ENTRY(timer, struct topics, look);
    timer_start(topics->loop, &topics->look, LOOK_MS, on_look);
    read_messages(topics);
}

/* Those of the running task's VM are woken at once, which only makes them ready; those of another
 * VM must not run inside of this one's task. */
void topics_publish(struct topics *topics, struct vm *vm, struct str name, struct str bytes)
{
    deliver(topics, name, bytes, 0);
    struct link *next;
    for (struct link *at = topics->to_wake.next; at != &topics->to_wake; at = next) {
        struct subscription *subscription = LIST_ENTRY(at, struct subscription, wake);
        next = at->next;
        while (subscription->vm == vm && vm->current != NULL && !link_is_alone(&subscription->wake))
            wake_one(subscription);
    }
    if (!link_is_alone(&topics->to_wake) && !timer_is_running(&topics->wake))
        timer_start(topics->loop, &topics->wake, 0, on_wake);
    if (topics->post != NULL)
        mailbox_send(topics->post, name, bytes, MAILBOX_OTHERS);
}

/* ---- coming and going ---- */

static void begin_listening(struct topics *topics)
{
    if (topics->post == NULL)
        return;
    topics->watch = fd_watch_start(topics->loop, mailbox_bell_fd(topics->post), on_bell, topics);
    if (topics->is_alone)
        fd_watch_unref(topics->watch);
    else
        timer_start(topics->loop, &topics->look, LOOK_MS, on_look);
}

static void end_listening(struct topics *topics)
{
    fd_watch_stop(topics->watch);
    topics->watch = NULL;
    timer_stop(topics->loop, &topics->look);
}

void topics_subscribe(struct topics *topics, struct subscription *subscription, struct str name)
{
    if (topics->nsubscriptions++ == 0)
        begin_listening(topics);
    if (topics->post != NULL)
        mailbox_want(topics->post, name);
    struct topic *topic = find(topics, name);
    if (topic == NULL)
        topic = topic_new(topics, name);
    subscription->topic = topic;
    link_append(&topic->subscriptions, &subscription->link);
}

void topics_unsubscribe(struct subscription *subscription)
{
    struct topic *topic = subscription->topic;
    lua_State *L = subscription->vm->L;
    if (topic == NULL)
        return;
    struct topics *topics = topic->topics;
    subscription->topic = NULL;
    link_remove(&subscription->link);
    link_remove(&subscription->wake);
    link_remove(&subscription->holding.link);
    if (topics->post != NULL)
        mailbox_unwant(topics->post, topic->name);
    if (link_is_alone(&topic->subscriptions))
        topic_free(topic);
    if (--topics->nsubscriptions == 0)
        end_listening(topics);
    lua_pushnil(L);
    wait_queue_wake_all(subscription->queue, L, 1);
}

struct subscription *topics_next(struct topics *topics, struct subscription *after)
{
    struct link *chain = topics->chains, *at = chain;
    if (after != NULL) {
        struct link *next = after->link.next;
        if (next != &after->topic->subscriptions)
            return LIST_ENTRY(next, struct subscription, link);
        chain = chain_of(topics, after->topic->name);
        at = &after->topic->link;
    }
    for (;;) {
        at = at->next;
        if (at != chain)
            return LIST_ENTRY(LIST_ENTRY(at, struct topic, link)->subscriptions.next,
                              struct subscription, link);
        if (++chain == topics->chains + CHAINS)
            return NULL;
        at = chain;
    }
}
