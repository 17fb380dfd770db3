/*
 * list.h - a circular doubly linked list whose links live inside the things listed.
 *
 * A list head is a struct link that points to itself when empty. A link that is in no list points
 * to itself too, so removing twice is harmless.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *prev;
    struct link *next;
};

#define LIST_ENTRY(link_ptr, type, member) ((type *)((char *)(link_ptr)-offsetof(type, member)))

static inline void link_init(struct link *link)
{
    link->prev = link->next = link;
}

static inline bool link_is_alone(const struct link *link)
{
    return link->next == link;
}

static inline void link_remove(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link_init(link);
}

/* Out of its list; NULL when that is empty. */
static inline struct link *link_take_first(struct link *head)
{
    struct link *first = head->next;
    if (first == head)
        return NULL;
    head->next = first->next;
    first->next->prev = head;
    link_init(first);
    return first;
}

/* Before `head`, so at the end of its list. */
static inline void link_append(struct link *head, struct link *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}
