/*
 * generation_state.h - the inside of generations, for the files that make and use them. Private to
 * this room.
 */
#pragma once

#include "base/buf.h"
#include "script/exchange.h"
#include "script/generation.h"

struct app {
    char *name;
    char *mount; /* "" for the index, "/hello" */
    bool is_ok;
    char *error;
    struct route *not_found; /* one of the routes; NULL: the plain 404 */
};

struct host_router {
    char *host; /* lower case; NULL: any */
    struct router *router;
};

struct generation {
    struct generations *all;
    uint64_t number;
    struct snapshot *snapshot;
    struct vm *vm;
    struct app *apps;
    size_t napps;
    struct route **routes;
    size_t nroutes;
    struct host_router *routers; /* the last has host NULL */
    size_t nrouters;
    char **files; /* NULL-terminated */
    size_t nfiles;
    struct exchange **exchanges;
    uint32_t nexchanges;
    struct exchange *spare;
    uint32_t nactive;   /* exchanges in use */
    int params_key_ref; /* "params", "query", "headers" */
    int query_key_ref;
    int headers_key_ref;
    int any_case_ref; /* the metatable of req.headers */
    int request_meta_ref;
    int response_meta_ref;
    int failure_ref; /* function(err, traceback, req, res, app_index) -> body, status, headers */
    int lives_ref;   /* the functions of lua/moonloop/lives.lua */
    bool is_retired;
    bool is_stopped;  /* on_stop has been run */
    struct link link; /* in all->retired */
};

struct jobs;
struct topics;
struct watchdog;

struct generations {
    struct loop *loop;
    const struct config *config;
    struct scoreboard_slot *slot;
    struct watchdog *watchdog;
    struct jobs *jobs;     /* of all generations */
    struct topics *topics; /* NULL: each VM has its own */
    struct generation *current;
    struct link retired;
    uint32_t nalive;
    struct http_handler handler;
    void (*on_idle)(void *data);
    void *on_idle_data;
    struct buf scratch; /* bodies and fields of answers while they are put together */
    struct buf fields;
    struct buf overlay; /* see overlay.h; empty without dev */
};

struct exchange *generation_get_exchange(struct generation *generation, struct request *request);
void generation_put_exchange(struct exchange *exchange);
int luaopen_moonloop_core_generation(lua_State *L);
