/*
 * lib_host.h - the module "moonloop.core.host": what Lua can ask about this machine.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_host(lua_State *L);
