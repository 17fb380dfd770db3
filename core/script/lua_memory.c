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

#ifdef SHORTAGE

/* Where it may raise. Refusing on purpose must not find LuaJIT's own mistake (trace_code.h) each
 * time; when memory is out in earnest the reserve cannot be given away for it. */
static void *allocate_refusing(void *data, void *block, size_t old_bytes, size_t bytes)
{
    struct lua_memory *memory = data;
    if (bytes > old_bytes && shortage_strikes(SHORTAGE_ANY) && !trace_code_is_below(memory->bottom))
        return NULL;
    return memory->alloc(memory->data, block, old_bytes, bytes);
}

#endif

/* Handlers make most of what there is: they call LuaJIT's allocator without a detour. */
void lua_memory_change(struct lua_memory *memory, bool may_raise)
{
    memory->may_raise = may_raise;
    if (!may_raise)
        lua_setallocf(memory->L, allocate_reserved, memory);
    else
#ifdef SHORTAGE
        lua_setallocf(memory->L, allocate_refusing, memory);
#else
        lua_setallocf(memory->L, memory->alloc, memory->data);
#endif
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
