/*
 * pool_state.h - origins and their connections. Private to this room.
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "http/answer_head.h"
#include "http/answer_memory.h"
#include "http/answer_parser.h"
#include "http/fetch.h"
#include "http/framing.h"
#include "http/pool.h"
#include "loop/deadline.h"

struct dial;
struct proxy;
struct resolver;
struct stream;
struct tls_context;
struct duplex;
struct tunnel;

struct pool {
    struct loop *loop;
    struct pool_options options;
    struct resolver *resolver;
    struct tls_context *tls; /* made at the first https, or at once for the files it names */
    struct deadline_queue *idle_deadlines;
    struct link origins;
    struct link duplexes;        /* struct pool_duplex: connections that left HTTP */
    struct fetch *spare_fetches; /* each is the next one's carrier_data */
    uint32_t nspare_fetches;
    uint64_t nreused; /* requests that went out on a connection that had served before */
};

/* Lives while it has a connection or somebody waits. */
struct origin {
    struct link link;
    struct pool *pool;
    int scheme; /* enum url_scheme */
    uint16_t port;
    char *host; /* lower case */
    size_t host_len;
    char *unix_path;     /* of http+unix, else NULL */
    struct proxy *proxy; /* that connections go through as a tunnel; NULL: none */
    struct link idle;    /* connections, the last used first */
    struct link busy;    /* the others, also those being made */
    struct link queue;   /* exchanges */
    struct answer_memory answers;
    uint32_t nconns;
    uint32_t nidle;
    uint32_t nqueued;
    bool is_serving; /* connections may go, it may not */
};

/* An HTTP/1.1 connection: at most one exchange at a time. It is read from while idle as well, so
 * that its end is noticed. */
struct client_conn {
    struct link link;      /* in its origin's idle or busy */
    struct origin *origin; /* NULL: closing */
    struct dial *dial;     /* while it is being made; then, with a proxy: */
    struct tunnel *tunnel;
    struct stream *stream;
    struct fetch *fetch; /* NULL: idle */
    struct answer_parser parser;
    struct framing framing;
    struct buf head; /* the beginning of a head that did not come in one read */
    struct deadline idle_deadline;
    uint64_t life_ms;    /* how long it is kept when idle */
    uint64_t expires_ms; /* by the loop's clock, when idle: the server may close it afterwards */
    uint64_t nserved;
    uint8_t dialed_stage; /* enum fetch_stage: how far the dial came */
    bool is_idle;
    bool has_bytes;   /* of the answer */
    bool has_sent;    /* some of the request */
    bool is_doubtful; /* the present answer is the last that is taken from it */
    bool is_flooding; /* the last read was a large one: the next goes where the body is wanted */
    bool is_lost;     /* a write failed: what the server still says is read */
    bool is_dialed_again;
};

/* A connection that is being made for this exchange. */
struct client_conn *client_conn_new(struct origin *origin, struct fetch *fetch);
/* It is made: sends the exchange. */
void client_conn_open(struct client_conn *conn, struct stream *stream);
/* Sends the exchange on an idle one. */
void client_conn_carry(struct client_conn *conn, struct fetch *fetch);
/* client_send.c: sends the head, and what there is of the exchange's body as far as it fits. */
void client_conn_send(struct client_conn *conn, struct str head);
/* Its stream has sent all that was queued. */
void client_conn_on_drain(void *owner);
/* At once; it leaves its origin. */
void client_conn_close(struct client_conn *conn);

/* client_dial.c: begins a connection for this exchange. */
void client_conn_dial(struct origin *origin, struct fetch *fetch);
/* Lets go of what makes it, if anything does. */
void client_dial_cancel(struct client_conn *conn);
/* How far it is, or came. */
enum fetch_stage client_dial_stage(const struct client_conn *conn);
/* Adds whom it waits for, where that is not plain from the URL. */
void client_dial_describe(const struct client_conn *conn, struct buf *text);

/* For fetch.c: an exchange that is over, zeroed but for the memory that it keeps; or NULL. */
struct fetch *pool_take_spare(struct pool *pool);
void pool_give_spare(struct pool *pool, struct fetch *fetch);

/* For client_conn.c: the connection can serve somebody else; or it has gone; or the exchange has
 * lost its connection and goes first. */
void pool_conn_free(struct client_conn *conn);
/* Takes the server's hints about how long it keeps the connection. False: it does not. */
bool pool_conn_set_life(struct client_conn *conn, struct keep_alive hints);
void pool_conn_gone(struct origin *origin);
/* Its stream leaves the pool: answered 101. */
struct duplex *pool_open_duplex(struct pool *pool, struct stream *stream);
void pool_cut_duplexes(struct pool *pool);
void pool_submit_again(struct pool *pool, struct fetch *fetch);
struct tls_context *pool_tls(struct pool *pool);
