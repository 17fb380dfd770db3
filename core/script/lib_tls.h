/*
 * lib_tls.h - the module "moonloop.core.tls": whether certificates can be served with.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_tls(lua_State *L);
