/*
 * introduction.h - what comes before everything else on a connection to a listener that expects the
 * PROXY protocol (announcement.h): the proxy says for whom it connects, and from then on that is
 * who is connected.
 *
 * Only peers in forwarded_allow_ips are listened to; others are refused without reading a byte. The
 * header has header_timeout to come and a size; what is wrong with one is logged, once a minute.
 */
#pragma once

#include <stdbool.h>

struct conn;
struct ip_address;

/* On a connection that was just opened and does not read yet. conn_admit follows, or its end. */
void introduction_begin(struct conn *conn);
/* Whether the header is still to come. */
bool introduction_is_due(const struct conn *conn);
/* Its time is over. */
void introduction_timed_out(struct conn *conn);

/* Who is connected: the client that was announced, else whoever holds the other end of the socket.
 * False: a Unix socket. */
bool introduction_peer(const struct conn *conn, struct ip_address *address);
/* Whether they speak TLS: to us, or to the proxy that announced them, as that says. */
bool introduction_is_tls(const struct conn *conn);
