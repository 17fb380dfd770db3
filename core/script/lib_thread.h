/* lib_thread.h - moonloop.core.thread: what Lua on an offload thread knows of where it came from.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_thread(lua_State *L);
