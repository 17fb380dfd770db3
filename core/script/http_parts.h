/*
 * http_parts.h - what the files behind moonloop.core.http share; for them alone.
 */
#pragma once

#include "script/task.h"

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#define HTTP_FETCH_META "moonloop.core.http.fetch"

struct feeding;
struct fetch;
struct fetch_op;
struct pool;
struct save_op;
struct saving;

/* The userdata of a pool. */
struct http_pool {
    struct pool *pool;
    lua_State *L;   /* the VM's main state */
    uint32_t users; /* exchanges; while there are any, the collector leaves it alone */
    int self_ref;
    struct fetch_op *spare_ops; /* of waits that are over; freed with the pool */
    uint32_t nspare_ops;
};

/* An exchange and what it keeps from the collector. */
struct held {
    struct fetch *fetch; /* NULL: given up */
    struct http_pool *pool;
    int body_ref; /* what is sent, or LUA_NOREF */
};

/* A fetch as Lua has it. Most never get one: see http_wait.c. */
struct handle {
    struct held held;
    struct fetch_op *op;          /* who waits */
    struct feeding *feeding;      /* NULL: its body does not come in pieces */
    struct saving *saving;        /* NULL: its answer is not being saved */
    struct save_op *save_op;      /* who waits for that */
    struct scope_holding holding; /* in the scope of the request of ours that it was made for */
};

/* The pool at `index`; raises for anything else. */
struct http_pool *http_check_pool(struct vm *vm, lua_State *L, int index);
/* One exchange more, or less, of the pool at `index`. */
void http_pool_hold(lua_State *L, int index, struct http_pool *pool);
void http_pool_let_go(struct http_pool *pool);
/* The handle at 1, when somebody may wait for it; raises otherwise. */
struct handle *http_check_handle(lua_State *L);
/* The socket closes now. */
void http_give_up(struct handle *handle);
/* Pushes { dns =, connect =, tls =, first_byte =, total = }, in seconds. */
void http_push_timing(lua_State *L, const struct fetch *fetch);
/* Pushes why the fetch has failed; `handle` may be NULL. */
void http_push_failure(lua_State *L, const struct handle *handle, const struct fetch *fetch);
/* http_wait.c: the scope that an answer to this task ends with. NULL for one that works for no
 * request, which may well hand the answer on: the collector closes those. */
struct scope *http_scope_of(struct task *task);
/* The exchange of the handle at 1, whose head has come; raises when it was given up, or while
 * another task reads it. */
const struct fetch *http_check_answer(lua_State *L);

/* http_wait.c: frees one of the pool's spare_ops, of which there is one. */
void http_free_spare_op(struct http_pool *pool);
/* http_wait.c: pushes the handle of an exchange, which takes it over. */
struct handle *http_push_handle(lua_State *L, const struct held *held, struct task *task);
/* Waits for the head of what was just started and has no handle. */
int http_wait_for_head(lua_State *L, struct held *held);
/* Ends the wait of whoever reads the answer, when there is what it waits for. */
void http_tell_reader(struct handle *handle);

/* http_save.c: there is more of an answer that is being saved, or it has failed. */
void http_save_changed(struct handle *handle);
/* Removes what is not whole. Harmless when there is nothing. */
void http_save_stop(struct handle *handle);

/* http_upload.c: nobody wants the rest of the body. Harmless when there is none to come. */
void http_upload_stop(struct handle *handle);
/* There may be room for more, or no use for it. May run other tasks. */
void http_upload_changed(struct handle *handle);
/* Pushes the handle on the stack that is returned, so that the collector does not take it. */
lua_State *http_upload_hold(struct handle *handle);
/* Pushes why the body could not be made; false when that is not why it failed. */
bool http_upload_push_failure(lua_State *L, const struct handle *handle);
void http_upload_free(lua_State *L, struct handle *handle);

/* Each adds functions to the table on top: pool, counts and origins; head, chunk, body and close;
 * interim, headers, timing, trailers, progress, coding and raw; save; feed, room, send and
 * break_off; parse, resolve, same_origin, encode and decode. */
void http_add_pool_functions(lua_State *L);
void http_add_wait_functions(lua_State *L);
void http_add_answer_functions(lua_State *L);
void http_add_save_functions(lua_State *L);
void http_add_upload_functions(lua_State *L);
void http_add_url_functions(lua_State *L);
void http_add_name_functions(lua_State *L); /* resolvers */
