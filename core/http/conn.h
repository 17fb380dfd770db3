/*
 * conn.h - one client's connection: reads, cuts the bytes into requests, keeps limits and
 * deadlines, sends answers in the order of the requests.
 *
 * On its worker's loop thread; lives from accept until the stream's on_close. One request at a time
 * is with the handler; what a client sends meanwhile waits in `pending`, and beyond a mark in the
 * kernel.
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "http/parser.h"
#include "loop/deadline.h"

#include <stdbool.h>
#include <stdint.h>

struct announcement;
struct http_server;
struct request;
struct stream;
struct duplex;

enum {
    CONN_PENDING_MAX = 64 * 1024,     /* bytes read ahead of the running request */
    CONN_BODY_AHEAD_MAX = 256 * 1024, /* body bytes that nobody has taken */
    CONN_QUEUED_MAX = 256 * 1024,     /* answer bytes that the client has not taken */
    CONN_BATCH_MAX = 64 * 1024,       /* answers of one batch before they are sent */
    CONN_LINGER_MS = 2000,            /* without a byte, for a client to read the last answer */
    CONN_LINGER_TOTAL_MS = 30000,     /* while it goes on sending what nobody wants */
    CONN_DRAIN_MS = 500,              /* for a request that is under way when the server drains */
    CONN_DRAIN_BODY_MAX = 64 * 1024,  /* of a body nobody wanted, to keep the connection */
};

/* What a connection waits for, which each has its deadline. */
enum conn_waits {
    CONN_WAITS_NOT,   /* no deadline: the handler has its own */
    CONN_WAITS_HEAD,  /* for the rest of a head */
    CONN_WAITS_BODY,  /* for the rest of a body that the handler wants */
    CONN_WAITS_NEXT,  /* idle */
    CONN_WAITS_SEND,  /* for the client to take what is queued */
    CONN_WAITS_END,   /* lingering */
    CONN_WAITS_DRAIN, /* idle, while the server drains */
    CONN_WAITS_COUNT,
};

struct conn {
    struct link link; /* in its server's conns */
    struct http_server *server;
    struct stream *stream;
    struct request *request;           /* being read or answered; NULL between two */
    struct duplex *duplex;             /* after an upgrade: it has the stream; else NULL */
    struct announcement *announcement; /* of a proxy; NULL: its listener expects none */
    struct deadline deadline;
    struct parser parser;
    struct buf pending;         /* bytes that outlive the read that brought them */
    uint64_t sent_bytes;        /* given to the stream, of all answers */
    uint64_t sent_mark_bytes;   /* and how many when the send deadline began */
    uint64_t unsent_mark_bytes; /* what had not left then */
    uint64_t linger_until_ms;
    uint32_t requests;      /* begun */
    uint32_t address_place; /* address_limit.c's */
    uint8_t waits;          /* enum conn_waits */
    uint8_t service;        /* enum http_service */
    bool is_misplaced;      /* speaks plainly where TLS is spoken */
    bool is_securing;       /* in the middle of its handshake */
    bool is_idle;           /* between two requests: empty lines do not start its time anew */
    bool is_in_empty_line;  /* its CR came before a request, and LF has to follow */
    bool is_parsing;        /* the message of `request` is not complete */
    bool is_with_handler;   /* on_request was called and the answer is not whole */
    bool is_discarding;     /* answered; the rest of its body is read and thrown away */
    bool is_last;           /* close after this answer */
    bool is_lingering;      /* answered and closing: input is thrown away */
    bool is_closing;
    bool is_blocked;      /* not going on: the client does not take its answers */
    bool is_continue_due; /* 100 Continue is expected and was not sent */
    bool is_lost;         /* a write failed: input is thrown away until the end comes */
};

/* `service`: enum http_service, perhaps with HTTP_EXPECTS_PROXY. */
void conn_open(struct http_server *server, int fd, uint8_t service);
/* Cuts it; a request with the handler is abandoned. */
void conn_close(struct conn *conn);
/* Ends it when it stays idle for CONN_DRAIN_MS, else after its next answer. */
void conn_drain(struct conn *conn);

/* The one that has waited longest for its client to begin or go on with a request: heads that do
 * not come first, idle connections next. NULL when all are busy. */
struct conn *conn_idlest(struct http_server *server);
/* Closes it; half a head is answered 503. */
void conn_evict(struct conn *conn);

/* For request.c. */
struct buf *conn_out(struct conn *conn);
/* Whether the answer that is about to begin has to say Connection: close; settles the matter. */
bool conn_settle_close(struct conn *conn);
/* Sends what is in conn_out, then `body` without copying what the socket takes. In a batch and
 * without a body it waits for the end of the batch unless much has gathered. */
void conn_flush(struct conn *conn, struct str body);
/* The answer is whole and was flushed or is in conn_out; the request is given back. */
void conn_answered(struct conn *conn);
/* The handler waits for more of the body: the client's time runs. */
void conn_read_body(struct conn *conn);
/* Some of the body was taken: more of it may come. */
void conn_make_room(struct conn *conn);
