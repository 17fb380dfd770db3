/*
 * lib_log.h - the module "moonloop.core.log": lines of the server's log from Lua.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_log(lua_State *L);
