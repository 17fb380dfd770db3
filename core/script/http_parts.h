/*
 * http_parts.h - what the files behind moonloop.core.http share; for them alone.
 */
#pragma once

#include <lua.h>

struct fetch;
struct pool;

/* The pool at `index`; raises for anything else. */
struct pool *http_check_pool(lua_State *L, int index);
/* The exchange of the handle at 1, whose head has come; raises when it was given up, or while
 * another task reads it. */
const struct fetch *http_check_answer(lua_State *L);

/* Each adds functions to the table on top: pool, counts and origins; interim, headers and timing;
 * parse, resolve, same_origin, encode and decode. */
void http_add_pool_functions(lua_State *L);
void http_add_answer_functions(lua_State *L);
void http_add_url_functions(lua_State *L);
