#include "net/tls_tickets.h"

#include "base/list.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct tls_tickets {
    struct link all; /* the oldest first */
    unsigned count;
};

struct ticket {
    struct link link;
    SSL_SESSION *session;
    char origin[];
};

struct tls_tickets *tls_tickets_new(void)
{
    struct tls_tickets *tickets = MEM_NEW(struct tls_tickets);
    link_init(&tickets->all);
    return tickets;
}

static void drop(struct tls_tickets *tickets, struct ticket *ticket)
{
    link_remove(&ticket->link);
    tickets->count--;
    SSL_SESSION_free(ticket->session);
    free(ticket);
}

void tls_tickets_free(struct tls_tickets *tickets)
{
    if (tickets == NULL)
        return;
    for (struct link *first; (first = link_take_first(&tickets->all)) != NULL;)
        drop(tickets, LIST_ENTRY(first, struct ticket, link));
    free(tickets);
}

static bool is_single_use(const SSL_SESSION *session)
{
    return SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
}

static bool is_good(const SSL_SESSION *session)
{
    long long age = (long long)time(NULL) - SSL_SESSION_get_time(session);
    unsigned long hint = SSL_SESSION_get_ticket_lifetime_hint(session);
    long long life = hint != 0 ? (long long)hint : SSL_SESSION_get_timeout(session);
    return SSL_SESSION_is_resumable(session) == 1 && age >= 0 && age < life &&
           age < TLS_TICKET_LIFE_S;
}

/* The oldest of an origin, and how many there are. */
static unsigned find(struct tls_tickets *tickets, const char *origin, struct ticket **oldest)
{
    unsigned count = 0;
    *oldest = NULL;
    for (struct link *at = tickets->all.next; at != &tickets->all; at = at->next) {
        struct ticket *ticket = LIST_ENTRY(at, struct ticket, link);
        if (strcmp(ticket->origin, origin) == 0 && count++ == 0)
            *oldest = ticket;
    }
    return count;
}

void tls_tickets_put(struct tls_tickets *tickets, const char *origin, SSL_SESSION *session)
{
    struct ticket *oldest;
    unsigned count = find(tickets, origin, &oldest);
    if (!is_single_use(session))
        tls_tickets_drop(tickets, origin);
    else if (count == TLS_TICKETS_OF_ORIGIN)
        drop(tickets, oldest);
    else if (tickets->count == TLS_TICKETS_MAX)
        drop(tickets, LIST_ENTRY(tickets->all.next, struct ticket, link));
    size_t len = strlen(origin);
    struct ticket *ticket = mem_zeroed(sizeof(*ticket) + len + 1);
    memcpy(ticket->origin, origin, len);
    ticket->session = session;
    link_append(&tickets->all, &ticket->link);
    tickets->count++;
}

SSL_SESSION *tls_tickets_take(struct tls_tickets *tickets, const char *origin)
{
    for (struct link *at = tickets->all.prev, *older; at != &tickets->all; at = older) {
        struct ticket *ticket = LIST_ENTRY(at, struct ticket, link);
        SSL_SESSION *session = ticket->session;
        older = at->prev;
        if (strcmp(ticket->origin, origin) != 0)
            continue;
        bool is_usable = is_good(session);
        if (is_usable)
            SSL_SESSION_up_ref(session);
        if (!is_usable || is_single_use(session))
            drop(tickets, ticket);
        if (is_usable)
            return session;
    }
    return NULL;
}

void tls_tickets_drop(struct tls_tickets *tickets, const char *origin)
{
    for (struct link *at = tickets->all.next, *next; at != &tickets->all; at = next) {
        struct ticket *ticket = LIST_ENTRY(at, struct ticket, link);
        next = at->next;
        if (strcmp(ticket->origin, origin) == 0)
            drop(tickets, ticket);
    }
}
