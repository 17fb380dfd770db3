/*
 * http_parts.h - what the files behind moonloop.core.http share; for them alone.
 */
#pragma once

#include <lua.h>
#include <stdint.h>

struct fetch;
struct pool;

/* The userdata of a pool. */
struct http_pool {
    struct pool *pool;
    lua_State *L;   /* the VM's main state */
    uint32_t users; /* exchanges; while there are any, the collector leaves it alone */
    int self_ref;
};

/* The pool at `index`; raises for anything else. */
struct http_pool *http_check_pool(lua_State *L, int index);
/* One exchange more, or less, of the pool at `index`. */
void http_pool_hold(lua_State *L, int index, struct http_pool *pool);
void http_pool_let_go(struct http_pool *pool);
/* The exchange of the handle at 1, whose head has come; raises when it was given up, or while
 * another task reads it. */
const struct fetch *http_check_answer(lua_State *L);

/* Each adds functions to the table on top: pool, counts and origins; interim, headers and timing;
 * parse, resolve, same_origin, encode and decode. */
void http_add_pool_functions(lua_State *L);
void http_add_answer_functions(lua_State *L);
void http_add_url_functions(lua_State *L);
