/* lib_offload.h - moonloop.core.offload: how lua/moonloop/offload.lua reaches the threads. */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_offload(lua_State *L);
