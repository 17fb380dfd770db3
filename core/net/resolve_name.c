/*
 * Callbacks may start and cancel others: a name that is being told of is not freed.
 */
#include "base/mem.h"
#include "net/resolve_lookup.h"
#include "net/resolve_state.h"
#include "net/resolve_system.h"

#include <stdlib.h>
#include <string.h>

static struct name **bucket_of(struct resolver *resolver, const char *text)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return &resolver->buckets[hash % RESOLVE_BUCKETS];
}

void name_free_if_over(struct name *name)
{
    if (!name->is_dropped || name->is_being_told)
        return;
    free(name->addresses);
    free(name->reason);
    free(name);
}

void name_drop(struct name *name)
{
    struct name **place = bucket_of(name->resolver, name->text);
    while (*place != name)
        place = &(*place)->next;
    *place = name->next;
    link_remove(&name->link);
    name->resolver->nnames--;
    system_lookup_cancel(name->system);
    name->system = NULL;
    name->is_dropped = true;
    name_stop_asking(name);
    name_free_if_over(name);
}

static void drop_oldest(struct resolver *resolver)
{
    struct link *at = resolver->names.prev;
    while (at != &resolver->names && resolver->nnames > resolver->all->most_names) {
        struct name *name = LIST_ENTRY(at, struct name, link);
        at = at->prev;
        if (name->is_known && !name->is_being_told)
            name_drop(name);
    }
}

struct name *name_find(struct resolver *resolver, const char *text)
{
    struct name *name = *bucket_of(resolver, text);
    while (name != NULL && strcmp(name->text, text) != 0)
        name = name->next;
    if (name == NULL)
        return NULL;
    if (name->is_known && loop_now_ms(resolver->all->loop) >= name->expires_ms) {
        name_drop(name);
        return NULL;
    }
    link_remove(&name->link);
    link_append(resolver->names.next, &name->link);
    return name;
}

struct name *name_add(struct resolver *resolver, const char *text)
{
    size_t len = strlen(text);
    struct name *name = mem_zeroed(sizeof(*name) + len + 1);
    struct name **bucket = bucket_of(resolver, text);
    memcpy(name->text, text, len);
    name->resolver = resolver;
    name->next = *bucket;
    *bucket = name;
    link_init(&name->waiters);
    link_init(&name->place);
    link_append(resolver->names.next, &name->link);
    resolver->nnames++;
    drop_oldest(resolver);
    return name;
}

void names_forget(struct resolver *resolver)
{
    struct link *at = resolver->names.next;
    while (at != &resolver->names) {
        struct name *name = LIST_ENTRY(at, struct name, link);
        at = at->next;
        if (name->is_known)
            name_drop(name);
    }
}

static void tell_one(struct resolve *resolve, const struct address *addresses,
                     struct resolve_news news, uint32_t preferred)
{
    struct address own[RESOLVE_MAX_ADDRESSES];
    for (uint32_t i = 0; i < news.count; i++) {
        own[i] = addresses[i];
        address_set_port(&own[i], resolve->port);
    }
    news.addresses = own;
    news.preferred = preferred != 0 ? &own[preferred - 1] : NULL;
    resolve->on_news(resolve->owner, &news);
}

void resolve_tell(struct resolve *resolve, const struct address *addresses, uint32_t count,
                  const char *reason)
{
    struct resolve_news news = {.count = count, .is_final = true, .reason = reason};
    tell_one(resolve, addresses, news, 0);
}

void name_tell_one(const struct name *name, struct resolve *resolve)
{
    struct resolve_news news = {
        .count = name->count,
        .is_final = name->is_known,
        .reason = name->count == 0 ? name->reason : NULL,
    };
    tell_one(resolve, name->addresses, news, name->preferred);
}

void name_give_up(struct name *name)
{
    if (name->count == 0) {
        name_drop(name);
        return;
    }
    name->is_known = true;
    name_stop_asking(name);
}

void name_tell(struct name *name)
{
    struct resolver *resolver = name->resolver;
    struct link due;
    link_init(&due);
    for (struct link *first; (first = link_take_first(&name->waiters)) != NULL;)
        link_append(&due, first);
    name->is_being_told = true;
    resolver->refs++;
    for (struct link *first; (first = link_take_first(&due)) != NULL;) {
        struct resolve *resolve = LIST_ENTRY(first, struct resolve, link);
        struct resolve copy = *resolve;
        if (name->is_known)
            free(resolve);
        else
            link_append(&name->waiters, &resolve->link);
        name_tell_one(name, &copy);
    }
    name->is_being_told = false;
    if (name->is_dropped)
        name_free_if_over(name);
    else if (!name->is_known && link_is_alone(&name->waiters))
        name_give_up(name);
    resolver_put(resolver);
}

void name_learn(struct name *name, const struct address *addresses, uint32_t count,
                uint64_t seconds)
{
    free(name->addresses);
    name->addresses = mem_zeroed((count != 0 ? count : 1) * sizeof(*addresses));
    if (count != 0)
        memcpy(name->addresses, addresses, count * sizeof(*addresses));
    name->count = count;
    name->preferred = 0;
    name->expires_ms = loop_now_ms(name->resolver->all->loop) + seconds * 1000;
}
