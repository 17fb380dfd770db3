/*
 * lua_memory.h - what a VM allocates: LuaJIT's own allocator, and what happens when it has nothing.
 *
 * In a handler's Lua that raises "not enough memory", which ends the request. Outside of it nobody
 * would catch that, and in the middle of a binding it would leave things half done: there the
 * reserve of base/mem.h helps out. So Lua code, and a binding until it holds something, may raise;
 * the scheduler, and what is called from the loop, may not. On the VM's thread.
 */
#pragma once

#include <lua.h>
#include <stdbool.h>

struct lua_memory {
    lua_State *L;
    lua_Alloc alloc; /* LuaJIT's */
    void *data;
    const void *bottom; /* of the C stack, below the Lua code that runs */
    bool may_raise;
};

/* A new state's, which may not raise yet; `memory` outlives it. */
void lua_memory_init(struct lua_memory *memory, lua_State *L);
/* Before lua_close, which knows its own allocator only. */
void lua_memory_deinit(struct lua_memory *memory);

/* For lua_memory_set. */
void lua_memory_change(struct lua_memory *memory, bool may_raise);

/* Says whether running out of memory may raise from here on, and answers whether it could before:
 * whoever sets it sets that again. What may not raise takes MEM_RESERVE_BYTES at most. */
static inline bool lua_memory_set(struct lua_memory *memory, bool may_raise)
{
    bool before = memory->may_raise;
    if (before != may_raise)
        lua_memory_change(memory, may_raise);
    return before;
}

/* Around what runs Lua code, which may raise; `bottom` is the frame of who runs it. The second
 * takes what the first has given, and the bottom from before. */
static inline bool lua_memory_begin(struct lua_memory *memory, const void *bottom)
{
    memory->bottom = bottom;
    return lua_memory_set(memory, true);
}

static inline void lua_memory_end(struct lua_memory *memory, bool before, const void *bottom)
{
    memory->bottom = bottom;
    lua_memory_set(memory, before);
}
