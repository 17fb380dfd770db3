/*
 * http_urls.h - what the client's Lua half does with URLs, as functions of moonloop.core.http.
 */
#pragma once

#include <lua.h>

/* Adds parse, resolve, same_origin, encode and decode to the table on top. */
void http_add_url_functions(lua_State *L);
