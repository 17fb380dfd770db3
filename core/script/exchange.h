/*
 * exchange.h - one request in Lua's hands: which route, which task, which generation.
 *
 * Taken from its generation's pool when a request's head is complete, given back when it was
 * answered or abandoned. Lua holds a token (place and serial) instead of a pointer, so a `req` that
 * outlives its request raises instead of touching somebody else's.
 */
#pragma once

#include "http/parser.h"
#include "http/request.h"
#include "http/router.h"
#include "loop/deadline.h"
#include "script/generation.h"
#include "script/vm.h"

#include <stdbool.h>
#include <stdint.h>

enum exchange_phase {
    EXCHANGE_HANDLER,
    EXCHANGE_FAILURE, /* the error handler is answering */
};

struct job;
struct op;
struct route;

struct exchange_param {
    struct slice value; /* of the path: it may move with the head */
    uint8_t kind;
    bool needs_decoding;
};

struct exchange {
    uint32_t place;  /* in the generation's table */
    uint32_t serial; /* changes when the exchange is given back */
    struct exchange *next_spare;
    struct generation *generation;
    struct request *request; /* NULL: not in use */
    const struct route *route;
    struct task *task; /* the handler's, while it runs */
    struct job *after; /* what req:after has put off until the answer, in order */
    struct deadline deadline;
    struct op *body_wait;   /* a binding that waits for more of the body */
    struct op *client_wait; /* one that waits for a slow client */
    uint8_t phase;          /* enum exchange_phase */
    bool is_overdue;        /* the request's own deadline has struck */
    bool is_abandoned;      /* the client has gone */
    bool is_waiting_shown;  /* counted in the scoreboard */
    bool is_unbounded;      /* the timeout of its route does not count any more */
    uint8_t nparams;
    uint8_t params_cap; /* as many as a request of this exchange ever had */
    struct exchange_param *params;
};

/* Parts of req whose use a route remembers: what its handler asked for it will ask for again. */
enum request_part { REQUEST_PARAMS = 1, REQUEST_QUERY = 2, REQUEST_HEADERS = 4 };

/* A handler of one generation, by number. */
struct route {
    int handler_ref;
    uint32_t number;
    uint8_t used;  /* bits of enum request_part: what its handler has asked for so far */
    uint8_t wants; /* 0: no argument, 1: req, 2: req and res */
    bool runs_in_thread;
    uint32_t app; /* index in the generation's apps */
    uint32_t timeout_ms;
    uint64_t max_body;
    uint32_t limit; /* concurrent runs; 0: any */
    uint32_t nrunning;
    struct deadline_queue *deadlines;
    struct router *router; /* which knows the names of its parameters */
    int *param_refs;       /* those names as Lua strings, in the registry */
    char *method;
    char *pattern;
    char *shown; /* host and pattern, for lists of routes; NULL: for any host */
    char *source;
};

struct http_handler exchange_handler(struct generations *all);

/* The exchange behind a token, raising "the request is finished" when it is over. */
struct exchange *exchange_check(lua_State *L, int index);
/* Gives the req on top of L the parts that its route has used before: asking for them one by one
 * costs more than the parts themselves. */
void exchange_keep_parts(lua_State *L, struct exchange *exchange);
int luaopen_moonloop_core_request(lua_State *L);
