/*
 * lib_testing.h - moonloop.core.testing: apps served inside the process of their specs.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_testing(lua_State *L);
