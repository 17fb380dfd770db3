#include "script/subscription.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 8 };

static struct blob *blob_of(struct delivery *delivery)
{
    if (delivery->blob == NULL) {
        delivery->blob = mem_grow(NULL, sizeof(struct blob) + delivery->bytes.len);
        delivery->blob->nrefs = 1;
        delivery->blob->len = (uint32_t)delivery->bytes.len;
        memcpy(delivery->blob->bytes, delivery->bytes.ptr, delivery->bytes.len);
    }
    delivery->blob->nrefs++;
    return delivery->blob;
}

static void blob_unref(struct blob *blob)
{
    if (--blob->nrefs == 0)
        free(blob);
}

void delivery_deinit(struct delivery *delivery)
{
    if (delivery->blob != NULL)
        blob_unref(delivery->blob);
}

/* ---- the ring ---- */

static struct subscription_entry *entry_at(struct subscription *subscription, uint32_t place)
{
    return &subscription->entries[(subscription->head + place) % subscription->capacity];
}

static void grow(struct subscription *subscription)
{
    uint32_t capacity = subscription->capacity * 2;
    capacity = capacity < FIRST_CAPACITY ? FIRST_CAPACITY : capacity;
    struct subscription_entry *entries = mem_zeroed(capacity * sizeof(*entries));
    for (uint32_t i = 0; i < subscription->count; i++)
        entries[i] = *entry_at(subscription, i);
    free(subscription->entries);
    subscription->entries = entries;
    subscription->capacity = capacity;
    subscription->head = 0;
}

static struct subscription_entry pop(struct subscription *subscription)
{
    struct subscription_entry entry = *entry_at(subscription, 0);
    subscription->head = (subscription->head + 1) % subscription->capacity;
    subscription->count--;
    subscription->nbytes -= entry.blob->len;
    return entry;
}

static void lose(struct subscription *subscription, uint32_t count)
{
    subscription->total_lost += count;
}

/* What it had lost before it is told with the one that is first now, or with the next to come. */
static void drop_oldest(struct subscription *subscription)
{
    struct subscription_entry entry = pop(subscription);
    uint32_t nlost = entry.nlost + 1;
    lose(subscription, 1);
    if (subscription->count > 0)
        entry_at(subscription, 0)->nlost += nlost;
    else
        subscription->nlost += nlost;
    blob_unref(entry.blob);
}

static bool has_room(const struct subscription *subscription, size_t len)
{
    return subscription->count < subscription->limit &&
           (subscription->count == 0 || subscription->nbytes + len <= subscription->limit_bytes);
}

void subscription_add(struct subscription *subscription, struct delivery *delivery, uint32_t nlost)
{
    size_t len = delivery->bytes.len;
    if (subscription->is_overrun)
        return;
    lose(subscription, nlost);
    subscription->nlost += nlost;
    if (!has_room(subscription, len) && subscription->overflow != OVERFLOW_DROP_OLDEST) {
        lose(subscription, 1);
        subscription->nlost++;
        subscription->is_overrun = subscription->overflow == OVERFLOW_CLOSE;
        return;
    }
    while (!has_room(subscription, len))
        drop_oldest(subscription);
    if (subscription->count == subscription->capacity)
        grow(subscription);
    subscription->count++;
    subscription->nbytes += len;
    *entry_at(subscription, subscription->count - 1) =
        (struct subscription_entry){blob_of(delivery), subscription->nlost};
    subscription->nlost = 0;
}

bool subscription_can_wake(const struct subscription *subscription)
{
    return subscription->count > 0 && subscription->queue->length > 0;
}

void subscription_wake(struct subscription *subscription)
{
    lua_State *L = subscription->vm->L;
    if (subscription_take(subscription, L))
        wait_queue_wake(subscription->queue, L, 1, NULL);
}

bool subscription_take(struct subscription *subscription, lua_State *L)
{
    if (subscription->count == 0)
        return false;
    struct subscription_entry entry = pop(subscription);
    subscription->nreceived++;
    if (entry.nlost != 0)
        lua_createtable(L, 2, 0);
    lua_pushlstring(L, entry.blob->bytes, entry.blob->len);
    if (entry.nlost != 0) {
        lua_rawseti(L, -2, 1);
        lua_pushnumber(L, entry.nlost);
        lua_rawseti(L, -2, 2);
    }
    blob_unref(entry.blob);
    return true;
}

void subscription_empty(struct subscription *subscription)
{
    while (subscription->count > 0)
        blob_unref(pop(subscription).blob);
    free(subscription->entries);
    subscription->entries = NULL;
    subscription->capacity = 0;
}
