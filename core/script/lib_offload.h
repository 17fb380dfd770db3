/* lib_offload.h - moonloop.core.offload: how lua/moonloop/offload.lua and pool.lua reach the
 * threads. */
#pragma once

#include <lua.h>

struct offload_origin;
struct vm;

/* moonloop.core.offload */
int luaopen_moonloop_core_offload(lua_State *L);
/* What the jobs of `vm` share. Raises when the snapshot cannot be mapped once more. */
struct offload_origin *vm_offload_origin(lua_State *L, struct vm *vm);
