/*
 * lib_duplex.h - moonloop.core.duplex: connections after a 101, for
 * lua/moonloop/http/connection.lua.
 */
#pragma once

#include <lua.h>
#include <stdbool.h>

struct scope;
struct duplex;

/* Pushes the Lua side of a duplex, which it releases: at the latest when `scope` ends (NULL: when
 * the collector comes) or the value at `kept` (0: none), which it keeps alive, is of no use any
 * more. */
void duplex_push(lua_State *L, struct duplex *duplex, struct scope *scope, bool is_local, int kept);
/* The duplex of the Lua side at `index`, which is closed from then on: the caller's to release.
 * Raises when it is closed, or somebody waits there. */
struct duplex *duplex_steal(lua_State *L, int index);
int luaopen_moonloop_core_duplex(lua_State *L);
