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
    while (!link_is_alone(&tickets->all))
        drop(tickets, LIST_ENTRY(tickets->all.next, struct ticket, link));
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

/* The newest of an origin, or the oldest; how many there are. */
static unsigned find(struct tls_tickets *tickets, const char *origin, struct ticket **oldest,
                     struct ticket **newest)
{
    unsigned count = 0;
    *oldest = *newest = NULL;
    for (struct link *at = tickets->all.next; at != &tickets->all; at = at->next) {
        struct ticket *ticket = LIST_ENTRY(at, struct ticket, link);
        if (strcmp(ticket->origin, origin) != 0)
            continue;
        if (count++ == 0)
            *oldest = ticket;
        *newest = ticket;
    }
    return count;
}

void tls_tickets_put(struct tls_tickets *tickets, const char *origin, SSL_SESSION *session)
{
    struct ticket *oldest, *newest;
    unsigned count = find(tickets, origin, &oldest, &newest);
    if (!is_single_use(session))
        tls_tickets_drop(tickets, origin);
    else if (count == TLS_TICKETS_OF_ORIGIN)
        drop(tickets, oldest);
    else if (tickets->count == TLS_TICKETS_MAX)
        drop(tickets, LIST_ENTRY(tickets->all.next, struct ticket, link));
    struct ticket *ticket = mem_zeroed(sizeof(*ticket) + strlen(origin) + 1);
    strcpy(ticket->origin, origin);
    ticket->session = session;
    link_append(&tickets->all, &ticket->link);
    tickets->count++;
}

SSL_SESSION *tls_tickets_take(struct tls_tickets *tickets, const char *origin)
{
    struct ticket *oldest, *newest;
    while (find(tickets, origin, &oldest, &newest) != 0) {
        SSL_SESSION *session = newest->session;
        bool is_usable = is_good(session);
        if (is_usable)
            SSL_SESSION_up_ref(session);
        if (!is_usable || is_single_use(session))
            drop(tickets, newest);
        if (is_usable)
            return session;
    }
    return NULL;
}

void tls_tickets_drop(struct tls_tickets *tickets, const char *origin)
{
    struct ticket *oldest, *newest;
    while (find(tickets, origin, &oldest, &newest) != 0)
        drop(tickets, newest);
}
