/*
 * lib_clock.h - the clocks as Lua sees them, and virtual time for specs.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_clock(lua_State *L);
