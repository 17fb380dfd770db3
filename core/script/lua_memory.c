#include "script/lua_memory.h"

#include "base/mem.h"
#include "base/shortage.h"
#include "script/trace_code.h"

/* Where it may not raise. */
static void *allocate_reserved(void *data, void *block, size_t old_bytes, size_t bytes)
{
    struct lua_memory *memory = data;
    if (bytes <= old_bytes)
        return memory->alloc(memory->data, block, old_bytes, bytes);
    if (!shortage_strikes(SHORTAGE_OURS)) {
        void *grown = memory->alloc(memory->data, block, old_bytes, bytes);
        if (__builtin_expect(grown != NULL, 1))
            return grown;
    }
    mem_release_reserve();
    return memory->alloc(memory->data, block, old_bytes, bytes);
}

/* Where it may: asked for more than is there. */
static void *refuse(struct lua_memory *memory, void *block, size_t old_bytes, size_t bytes)
{
    if (!trace_code_is_below(memory->bottom))
        return NULL;
    mem_release_reserve();
    return memory->alloc(memory->data, block, old_bytes, bytes);
}

static void *allocate(void *data, void *block, size_t old_bytes, size_t bytes)
{
    struct lua_memory *memory = data;
    if (bytes <= old_bytes)
        return memory->alloc(memory->data, block, old_bytes, bytes);
    if (!shortage_strikes(SHORTAGE_ANY)) {
        void *grown = memory->alloc(memory->data, block, old_bytes, bytes);
        if (__builtin_expect(grown != NULL, 1))
            return grown;
    }
    return refuse(memory, block, old_bytes, bytes);
}

/* Handlers make most of what there is, so they call LuaJIT's allocator without a detour, as long as
 * there never was too little. */
void lua_memory_change(struct lua_memory *memory, bool may_raise)
{
#ifdef SHORTAGE
    bool is_ample = false;
#else
    bool is_ample = !mem_was_short();
#endif
    memory->may_raise = may_raise;
    if (may_raise && is_ample)
        lua_setallocf(memory->L, memory->alloc, memory->data);
    else
        lua_setallocf(memory->L, may_raise ? allocate : allocate_reserved, memory);
}

void lua_memory_init(struct lua_memory *memory, lua_State *L)
{
    memory->L = L;
    memory->alloc = lua_getallocf(L, &memory->data);
    lua_memory_change(memory, false);
}

void lua_memory_deinit(struct lua_memory *memory)
{
    lua_setallocf(memory->L, memory->alloc, memory->data);
}
