/*
 * lib_file.h - moonloop.core.file: files that tasks wait for.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_file(lua_State *L);
