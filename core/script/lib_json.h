/*
 * lib_json.h - the module "moonloop.core.json": encode, decode, null, array_mark. For
 * package.preload of any VM; lua/moonloop/json.lua gives it its public shape.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_json(lua_State *L);
