/*
 * lib_tunnel.h - moonloop.core.tunnel: connections after a 101, for
 * lua/moonloop/http/connection.lua.
 */
#pragma once

#include <lua.h>
#include <stdbool.h>

struct scope;
struct tunnel;

/* Pushes the Lua side of a tunnel, which it releases: at the latest when `scope` ends (NULL: when
 * the collector comes) or the value at `kept` (0: none), which it keeps alive, is of no use any
 * more. */
void tunnel_push(lua_State *L, struct tunnel *tunnel, struct scope *scope, bool is_local, int kept);
int luaopen_moonloop_core_tunnel(lua_State *L);
