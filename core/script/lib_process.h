/*
 * lib_process.h - the module "moonloop.core.process": programs, and waiting for what they write and
 * for their end. What a person calls is lua/moonloop/process.lua.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_process(lua_State *L);
