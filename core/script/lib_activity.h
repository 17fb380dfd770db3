/*
 * lib_activity.h - moonloop.core.activity: the tasks of a VM, for lua/moonloop/activity.lua.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_activity(lua_State *L);
