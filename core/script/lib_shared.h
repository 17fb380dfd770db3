/*
 * lib_shared.h - the C halves of lua/moonloop/shared.lua and lock.lua: moonloop.core.shared and
 * moonloop.core.lease.
 */
#pragma once

#include <lua.h>

struct dict;

/* The process's dictionary. Raises when it cannot be opened. */
struct dict *lib_shared_dict(lua_State *L);
/* Raises what a dictionary's function said. */
int lib_shared_raise(lua_State *L, int status);

int luaopen_moonloop_core_shared(lua_State *L);
int luaopen_moonloop_core_lease(lua_State *L);
