/*
 * lib_websocket.h - moonloop.core.websocket: messages on a connection after a 101, for
 * lua/moonloop/websocket.lua.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_websocket(lua_State *L);
