/*
 * request.h - one request being answered: the parts of its head, its body as far as it has come,
 * and the ways to answer it.
 *
 * Lent by a connection to its http_handler from on_request until it is answered whole or abandoned;
 * afterwards the pointer is not used again. On the loop's thread.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "http/parser.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct request;

enum { REQUEST_ID_BYTES = 16 };

/* The server's user: who turns requests into answers. */
struct http_handler {
    /* The head is complete. Answer now or later. Not called again for this connection before that.
     */
    void (*on_request)(void *data, struct request *request);
    /* Once after each request_want_body: more of the body is there, or its end, or its failure. */
    void (*on_body)(void *data, struct request *request);
    /* Only after an answer was begun: what was queued for the client has left. */
    void (*on_drain)(void *data, struct request *request);
    /* The client has gone, or the server is closing. Forget the request within this call. */
    void (*on_abandon)(void *data, struct request *request);
    void *data;
};

enum body_state {
    BODY_COMING,
    BODY_DONE,      /* all of it is in */
    BODY_TOO_LARGE, /* beyond the limit: a 413 is the answer */
    BODY_MALFORMED, /* broken chunk framing: a 400 */
    BODY_TIMED_OUT, /* no progress within body_timeout, or too little: a 408 */
    BODY_NO_MEMORY, /* for the rest of it: a 503 */
};

struct request {
    /* These keep their memory for the next request; what is behind them is cleared for it. */
    struct message message;
    struct arena arena;
    struct buf body_buf;
    const char *base; /* first byte of the head; the slices of `message` count from it */
    struct conn *conn;
    void *user;            /* the handler's own; NULL at on_request */
    struct str body_slice; /* a body that came whole in the same read; else body_buf has it */
    uint64_t body_limit;
    uint64_t body_seen;  /* bytes, also those that were taken already */
    uint64_t chunk_left; /* at least so many bytes are still to come */
    uint64_t body_paid;  /* of those, what was set off against waiting */
    uint64_t waiting_since_ms;
    enum body_state body_state;
    bool is_body_wanted; /* on_body is to be called */
    bool is_answer_begun;
    bool is_answer_chunked;
    bool is_answer_silent; /* HEAD, 204, 304: body bytes are dropped */
    bool is_transient;     /* base and body_slice point into a read buffer */
    uint16_t status;       /* of the answer; 0: none yet */
    uint32_t waited_ms;    /* for the body, and not paid for */
    uint64_t answer_bytes; /* of the body, written so far */
    uint64_t began_us;     /* only while there is an access log */
    uint64_t answer_left;  /* bytes promised by Content-Length and not yet written */
    char id[REQUEST_ID_BYTES];
};

struct answer {
    uint16_t status;         /* 200..599 */
    struct str content_type; /* empty: none */
    struct str fields;       /* more header lines, each "Name: value\r\n", already checked */
    struct str body;
};

struct str request_slice(const struct request *request, struct slice slice);
/* The first field of that name (any case); false when there is none. */
bool request_header(const struct request *request, struct str name, struct str *value);
/* What an absolute target names as its authority; false for any other target. */
bool request_authority(const struct request *request, struct str *authority);
/* The host that is asked, with its port: of an absolute target (RFC 9112, 3.2.2), else the Host
 * field. False when there is neither. */
bool request_host(const struct request *request, struct str *host);
/* The path and the query of the target, raw; the absolute form (RFC 9112, 3.2.2) is reduced to
 * them. */
struct str request_path(const struct request *request);
struct str request_query(const struct request *request);
/* What came so far and was not taken. */
struct str request_body(const struct request *request);

/* Makes everything the request points to its own: before its handler waits. */
void request_detach(struct request *request);
/* A limit other than the server's. A body known to be beyond it is BODY_TOO_LARGE at once. */
void request_limit_body(struct request *request, uint64_t bytes);
/* From now on the body is read as it comes and on_body is called; sends 100 Continue if asked to.
 */
void request_want_body(struct request *request);
/* The first `count` bytes of request_body were used; room for more. */
void request_take_body(struct request *request, size_t count);
/* The number of body bytes the head promises, or -1 when it does not say. */
int64_t request_promised_length(const struct request *request);

/* Answers whole and gives the request back. */
void request_answer(struct request *request, const struct answer *answer);
/* An interim answer (102 to 199) with these header lines, each "Name: value\r\n"; none under
 * HTTP/1.0. Before the answer begins. */
void request_send_interim(struct request *request, uint16_t status, struct str fields);
/* Begins a streamed answer; `length` < 0: chunked (closing at the end under HTTP/1.0). `chunk`: a
 * first part, in the same write as the head. As request_write. */
int request_begin(struct request *request, const struct answer *answer, int64_t length,
                  struct str chunk);
/* Part of a streamed answer. 0, or -errno when the client is gone (on_abandon follows); -EMSGSIZE,
 * and nothing was sent, beyond the length. */
int request_write(struct request *request, struct str bytes);
/* More was written than the client takes: wait for on_drain. */
bool request_must_wait(const struct request *request);
/* A write has failed: the client has gone, and on_abandon follows unless the request ends first. */
bool request_is_lost(const struct request *request);
/* Ends a streamed answer and gives the request back. */
void request_end(struct request *request);
/* Gives the request back by cutting the connection: an answer was begun and cannot be finished. */
void request_abort(struct request *request);
