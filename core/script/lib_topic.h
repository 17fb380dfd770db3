/*
 * lib_topic.h - moonloop.core.topic: publishing and subscribing, for lua/moonloop/topic.lua.
 */
#pragma once

#include <lua.h>

int luaopen_moonloop_core_topic(lua_State *L);
