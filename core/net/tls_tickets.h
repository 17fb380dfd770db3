/*
 * tls_tickets.h - sessions that servers let us take up again, kept for each origin, the newest
 * first. Belongs to one client and its thread.
 */
#pragma once

#include <openssl/ssl.h>

struct tls_tickets;

enum {
    TLS_TICKETS_OF_ORIGIN = 8,        /* for that many new connections at once */
    TLS_TICKETS_MAX = 256,            /* over all origins; the oldest goes first */
    TLS_TICKET_LIFE_S = 24 * 60 * 60, /* at most, whatever the server says: the certificate is not
                                       * looked at again meanwhile */
};

struct tls_tickets *tls_tickets_new(void);
void tls_tickets_free(struct tls_tickets *tickets); /* NULL is fine */
/* Takes the session over. */
void tls_tickets_put(struct tls_tickets *tickets, const char *origin, SSL_SESSION *session);
/* A session to begin with, to be freed by the caller; NULL: none. One of TLS 1.3 is given once (RFC
 * 8446, C.4), one of TLS 1.2 again and again. */
SSL_SESSION *tls_tickets_take(struct tls_tickets *tickets, const char *origin);
void tls_tickets_drop(struct tls_tickets *tickets, const char *origin);
