/*
 * lib_http.h - moonloop.core.http: the C half of lua/moonloop/http.lua.
 */
#pragma once

#include <lua.h>

struct fault;
struct pool;
struct pool_options;

int luaopen_moonloop_core_http(lua_State *L);
/* Pushes a pool of connections, for lib_testing.c; its owner is the collector. */
struct pool *http_push_pool(lua_State *L, const struct pool_options *options, struct fault *fault);
