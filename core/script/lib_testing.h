/*
 * lib_testing.h - moonloop.core.testing: the C half of lua/moonloop/testing.lua.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_testing(lua_State *L);
