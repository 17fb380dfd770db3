/*
 * fetch.h - one HTTP exchange of the client: a request, and its answer as far as it has come.
 *
 * Owned by whoever made it; on the loop's thread. Knows a carrier that transports it (a queue
 * place, a connection that is being made, an HTTP/1 connection), not what that is.
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "http/parser.h"
#include "http/url.h"
#include "loop/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct coded_body;
struct fetch;
struct pool;
struct duplex;
struct proxy;
struct upload;

enum {
    FETCH_HEAD_MAX = 64 * 1024, /* bytes of an answer's head, and of one request head */
    FETCH_HEADERS_MAX = 256,
    FETCH_PROGRESS_BYTES = 1024 * 1024, /* it is told after so many, or */
    FETCH_PROGRESS_US = 100000,         /* after so long */
    FETCH_AHEAD_MAX = 256 * 1024, /* body bytes read that nobody has taken; then the server waits */
};

enum fetch_stage {
    FETCH_PREPARING,
    FETCH_QUEUED,
    FETCH_RESOLVING,
    FETCH_CONNECTING,
    FETCH_SHAKING_HANDS,
    FETCH_SENDING,
    FETCH_WAITING, /* for the head of the answer */
    FETCH_READING, /* the body */
    FETCH_DONE,
    FETCH_FAILED,
};

enum fetch_error {
    FETCH_OK,
    FETCH_FULL, /* too many wait for a connection */
    FETCH_BAD_NAME,
    FETCH_REFUSED,
    FETCH_BAD_TLS,
    FETCH_CLOSED,
    FETCH_PROTOCOL,
    FETCH_TOO_LARGE,
    FETCH_TIMEOUT,
    FETCH_BAD_BODY, /* the request's: of another length than was said */
};

struct fetch_carrier {
    enum fetch_stage (*stage)(const struct fetch *fetch);
    /* Some of the body was taken. */
    void (*go_on)(struct fetch *fetch);
    /* There is more of the request's body, or it may be sent now. */
    void (*send)(struct fetch *fetch);
    /* Adds what it waits for, for people, where the stage does not say it all. NULL: it does. */
    void (*describe)(const struct fetch *fetch, struct buf *text);
    /* Lets go of it, at once and without a word. */
    void (*cancel)(struct fetch *fetch);
};

/* Microseconds; 0 for what was not gone through. */
struct fetch_timing {
    uint64_t began; /* on the monotonic clock; the others count from here or are lengths */
    uint64_t dns;
    uint64_t connect;
    uint64_t tls;
    uint64_t first_byte;
    uint64_t total;
};

struct fetch {
    struct pool *pool;
    struct loop *loop;
    void (*on_change)(struct fetch *fetch);
    void *owner;
    const struct fetch_carrier *carrier; /* NULL: not under way */
    void *carrier_data;
    struct link link; /* in a queue */
    struct timer deadline;
    struct timer queue_deadline; /* while it waits for a connection */
    /* PREPARING, DONE or FAILED; between them the carrier knows. READING: all has come, but is not
     * decoded. */
    enum fetch_stage stage;
    enum fetch_stage failed_stage; /* where it was when it failed */
    enum fetch_error error;
    char reason[512]; /* for people */

    struct buf url_text;
    struct url url;        /* slices of url_text */
    struct buf head;       /* of the request */
    size_t line_bytes;     /* of the head: its first line */
    struct str body;       /* of the request, or a piece of it; borrowed until it is done */
    size_t body_sent;      /* bytes of those that the carrier has taken */
    struct upload *upload; /* NULL: the body is those bytes, or there is none */
    struct proxy *proxy;   /* NULL: none */
    uint8_t method;        /* enum http_method */
    bool is_idempotent;
    bool has_host, has_user_agent, has_accept, has_proxy_authorization;
    bool is_forwarded; /* the proxy is asked for the whole URL; else it makes a tunnel */
    bool wants_close;  /* the request says Connection: close */
    bool is_retried;
    struct slice upgrade;  /* of `head`: the protocol that the request offers; len 0: none */
    struct duplex *duplex; /* answered 101: it is to be taken out or goes with the fetch */
    bool wants_interim; /* on_change is called for interim answers as well */
    bool is_raw;        /* the body is wanted as it comes */
    bool is_decoded;    /* what comes out of it is not what Content-Encoding says */

    struct message message; /* the answer's; slices of answer_head */
    struct buf answer_head;
    struct buf answer_body; /* what came and was not taken */
    /* Interim answers except 100 Continue, each as "103\n", lines "name: value\n", "\n". */
    struct buf interim;
    struct buf trailers; /* lines "name: value\n" */
    struct buf tls; /* lines "version: TLSv1.3", if wanted and its connection was made for it */
    bool wants_tls;
    size_t interim_told;    /* bytes of them that whoever wants them has */
    uint64_t interim_bytes; /* their size on the wire, with those that are not kept */
    uint64_t taken_bytes;
    struct coded_body *coded; /* while there is something to decode */
    uint64_t max_ratio;       /* decoded bytes from each that came; 0: CODED_RATIO_DEFAULT */
    uint64_t came_bytes;      /* of the body, before it was decoded */
    uint64_t told_bytes;      /* of those, when progress was told */
    uint64_t told_us;         /* when that was; 0: nobody wants to know */
    uint64_t
        max_body; /* 0: the body is streamed; else all of it is gathered, up to so many bytes */
    struct fetch_timing timing;
};

/* on_change: there is more of the answer, or its end, or the failure; called from the loop only,
 * never from within a function below. The fetch may be freed in it. */
struct fetch *fetch_new(struct pool *pool, void (*on_change)(struct fetch *fetch), void *owner);
/* Lets go of the connection first: closed at once unless the answer was whole. NULL is fine. */
void fetch_free(struct fetch *fetch);

/* Before fetch_request: goes through the proxy at `text` (proxy_new), which does nothing for a Unix
 * socket. False with the reason. */
bool fetch_use_proxy(struct fetch *fetch, struct str text, const char **reason);
/* False with the reason: nothing that could smuggle something into a request passes. Afterwards the
 * fetch can only be freed. */
bool fetch_request(struct fetch *fetch, struct str method, struct str url, const char **reason);
bool fetch_header(struct fetch *fetch, struct str name, struct str value, const char **reason);
/* Offers to leave HTTP for this protocol: a 101 ends the fetch, and `duplex` is there. */
bool fetch_upgrade(struct fetch *fetch, struct str protocol, const char **reason);
/* Sends it. `body` with ptr NULL: none. timeout_ms 0: no deadline. Look at `stage` afterwards: it
 * may have failed already. */
void fetch_start(struct fetch *fetch, struct str body, uint64_t timeout_ms);

/* The time that is left from now on; 0: no limit. */
void fetch_limit(struct fetch *fetch, uint64_t timeout_ms);

enum fetch_stage fetch_stage(const struct fetch *fetch);
/* "while connecting", for messages. */
const char *fetch_stage_text(enum fetch_stage stage);
bool fetch_is_over(const struct fetch *fetch);
/* Gathers all of the body. May fail it (FETCH_TOO_LARGE). */
void fetch_want_whole(struct fetch *fetch, uint64_t max_body);
/* Forgets the first bytes of answer_body; the server may send more. */
void fetch_take_body(struct fetch *fetch, size_t bytes);

/* The connection of a 101, once; the caller's to release. NULL: there is none. */
struct duplex *fetch_take_duplex(struct fetch *fetch);
/* All of answer_body for the memory in `bytes`. */
void fetch_move_body(struct fetch *fetch, struct buf *bytes);
/* Whether the server may send more of the body. */
bool fetch_has_room(const struct fetch *fetch);
/* For coded_body.c: the next turn of the loop has come. */
void fetch_decode_more(struct fetch *fetch);

/* Whether it is time to tell how far the body has come; the first call of the other asks for it. */
bool fetch_has_progress(const struct fetch *fetch);
void fetch_take_progress(struct fetch *fetch);

/* Whether there are interim answers to be told. */
bool fetch_has_interim(const struct fetch *fetch);
/* Those, once. */
struct str fetch_take_interim(struct fetch *fetch);

/* For carriers. `base` is the first byte of the head that is in fetch->message, of the answer or of
 * an interim one; of those no more than FETCH_HEAD_MAX bytes come, then it is false. */
void fetch_got_head(struct fetch *fetch, const char *base);
bool fetch_got_interim(struct fetch *fetch, const char *base);
/* NULL: the 101 in fetch->message is what was asked for, else what is wrong with it. */
const char *fetch_check_switch(const struct fetch *fetch, const char *base);
/* The head has come, and a body will follow it. */
void fetch_begin_body(struct fetch *fetch);
/* False: it has to fail, as `error` and `reason` say. */
bool fetch_got_body(struct fetch *fetch, const char *bytes, size_t len);
/* Room of so many bytes behind what answer_body has, for a carrier to read into; NULL: bytes have
 * to be given. Then the same as fetch_got_body for bytes that lie there. */
char *fetch_body_room(struct fetch *fetch, size_t bytes);
bool fetch_filled_body(struct fetch *fetch, size_t bytes);
/* The next three call on_change: the last thing a carrier does. */
void fetch_changed(struct fetch *fetch);
void fetch_end(struct fetch *fetch);
void fetch_fail(struct fetch *fetch, enum fetch_error error, const char *reason);
/* The same without a word: the owner's own call has to see it. */
void fetch_break(struct fetch *fetch, enum fetch_error error, const char *reason);
/* The pool goes away; nobody is told. */
void fetch_orphan(struct fetch *fetch);
uint64_t fetch_now_us(void);
