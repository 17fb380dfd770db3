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
#include "loop/deadline.h"
#include "loop/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct coded_body;
struct fetch;
struct outgoing;
struct pool;
struct duplex;
struct upload;

enum {
    FETCH_HEAD_MAX = 64 * 1024, /* bytes of an answer's head */
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
    struct deadline coarse_deadline; /* instead, for whole seconds */
    struct timer queue_deadline;     /* while it waits for a connection */
    /* PREPARING, DONE or FAILED; between them the carrier knows. READING: all has come, but is not
     * decoded. */
    enum fetch_stage stage;
    enum fetch_stage failed_stage; /* where it was when it failed */
    enum fetch_error error;

    struct outgoing *request;
    struct str body;       /* of the request, or a piece of it; borrowed until it is done */
    size_t body_sent;      /* bytes of those that the carrier has taken */
    struct upload *upload; /* NULL: the body is those bytes, or there is none */
    bool is_prompt;        /* it began when the loop had just asked the kernel what can be read */
    bool is_retried;
    struct duplex *duplex; /* answered 101: it is to be taken out or goes with the fetch */
    bool wants_interim;    /* on_change is called for interim answers as well */
    bool is_raw;           /* the body is wanted as it comes */
    bool is_decoded;       /* what comes out of it is not what Content-Encoding says */

    bool wants_tls;
    size_t interim_told;    /* bytes of them that whoever wants them has */
    uint64_t interim_bytes; /* their size on the wire, with those that are not kept */
    uint64_t taken_bytes;
    size_t ahead_max;         /* of the body; 0: FETCH_AHEAD_MAX */
    struct coded_body *coded; /* while there is something to decode */
    uint64_t max_ratio;       /* decoded bytes from each that came; 0: CODED_RATIO_DEFAULT */
    uint64_t came_bytes;      /* of the body, before it was decoded */
    uint64_t told_bytes;      /* of those, when progress was told */
    uint64_t read_us;         /* when what is read now came; 0: not looked at the clock yet */
    uint64_t told_us;         /* when that was; 0: nobody wants to know */
    uint64_t
        max_body; /* 0: the body is streamed; else all of it is gathered, up to so many bytes */
    struct fetch_timing timing;

    /* From here on memory is kept for the next exchange. */
    struct buf head;        /* of the request, whole */
    struct message message; /* the answer's; slices of answer_head */
    struct buf answer_head;
    struct buf answer_body; /* what came and was not taken */
    /* Interim answers except 100 Continue, each as "103\n", lines "name: value\n", "\n". */
    struct buf interim;
    struct buf trailers; /* lines "name: value\n" */
    struct buf tls;   /* lines "version: TLSv1.3", if wanted and its connection was made for it */
    char reason[512]; /* of a failure, for people */
};

/* Before it is started it gets an owner and on_change: there is more of the answer, or its end, or
 * the failure; called from the loop only, never from within a function below. The fetch may be
 * freed in it. */
struct fetch *fetch_new(struct pool *pool, struct outgoing *request);
/* Lets go of the connection first: closed at once unless the answer was whole. NULL is fine. */
void fetch_free(struct fetch *fetch);
/* Frees those that pool_take_spare gives. */
void fetch_free_spare(struct fetch *fetch);

/* Sends it. `body` with ptr NULL: none. timeout_ms 0: no deadline; one of whole seconds, from 5 to
 * 120, strikes up to 250 ms late. Look at `stage` afterwards: it may have failed already. */
void fetch_start(struct fetch *fetch, struct str body, uint64_t timeout_ms);

/* The time that is left from now on; 0: no limit. */
void fetch_limit(struct fetch *fetch, uint64_t timeout_ms);

enum fetch_stage fetch_stage(const struct fetch *fetch);
/* "while connecting", for messages. */
const char *fetch_stage_text(enum fetch_stage stage);
bool fetch_is_over(const struct fetch *fetch);
/* Whether, now that it is done, there is nothing to tell of it but head, body and two times. */
bool fetch_is_all_in_head(const struct fetch *fetch);
/* Gathers all of the body. May fail it (FETCH_TOO_LARGE). */
void fetch_want_whole(struct fetch *fetch, uint64_t max_body);
/* Forgets the first bytes of answer_body; the server may send more. */
void fetch_take_body(struct fetch *fetch, size_t bytes);

/* The connection of a 101, once; the caller's to release. NULL: there is none. */
struct duplex *fetch_take_duplex(struct fetch *fetch);
/* All of answer_body for the memory in `bytes`. */
void fetch_move_body(struct fetch *fetch, struct buf *bytes);
/* How much of the body is read before somebody takes it. */
size_t fetch_ahead_max(const struct fetch *fetch);
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
