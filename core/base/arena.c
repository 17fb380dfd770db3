#include "base/arena.h"

#include "base/mem.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Under STRESS each piece has a block of its own, so that a sanitizer sees what is read or written
 * beyond its end, and what is used after the reset; without one, bytes behind it are looked at. */
#ifdef STRESS
enum { ARENA_BLOCK_BYTES = 0, GUARD_BYTES = 16, GUARD = 0xc5, GONE = 0xdb };
#else
enum { ARENA_BLOCK_BYTES = 2048, GUARD_BYTES = 0 };
#endif

struct arena_block {
    struct arena_block *older;
    size_t used;
    size_t cap;
    alignas(max_align_t) char bytes[];
};

/* What a block has to hold for a piece of that size; 0: more than there can be. */
static size_t room_for(size_t bytes)
{
#ifdef STRESS
    return bytes + GUARD_BYTES < bytes ? 0 : bytes + GUARD_BYTES;
#else
    size_t rounded = (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    return rounded < bytes ? 0 : rounded;
#endif
}

static size_t block_cap(size_t room)
{
    return room > ARENA_BLOCK_BYTES ? room : ARENA_BLOCK_BYTES;
}

static void add_block(struct arena *arena, struct arena_block *fresh, size_t cap)
{
    *fresh = (struct arena_block){.older = arena->block, .cap = cap};
    arena->total_bytes += cap;
    arena->block = fresh;
}

static bool fits(const struct arena_block *block, size_t room)
{
    return block != NULL && block->cap - block->used >= room;
}

static void *take(struct arena_block *block, size_t room)
{
    void *piece = block->bytes + block->used;
    block->used += room;
#ifdef STRESS
    memset(block->bytes + room - GUARD_BYTES, GUARD, GUARD_BYTES);
#endif
    return piece;
}

static void free_block(struct arena_block *block)
{
#ifdef STRESS
    for (size_t at = block->used - GUARD_BYTES; at < block->used; at++)
        ENSURE((unsigned char)block->bytes[at] == GUARD);
    memset(block->bytes, GONE, block->used);
#endif
    free(block);
}

static void *alloc(struct arena *arena, size_t bytes)
{
    size_t room = room_for(bytes);
    ENSURE(room != 0 || bytes == 0);
    if (!fits(arena->block, room))
        add_block(arena, mem_grow(NULL, sizeof(struct arena_block) + block_cap(room)),
                  block_cap(room));
    return take(arena->block, room);
}

struct str arena_copy(struct arena *arena, struct str str)
{
    char *copy = alloc(arena, str.len != 0 ? str.len : 1);
    if (str.len != 0)
        memcpy(copy, str.ptr, str.len);
    return (struct str){copy, str.len};
}

struct str arena_keep_alone(struct arena *arena, struct str str)
{
    size_t room = room_for(str.len);
    ENSURE(room != 0 || str.len == 0);
    struct arena alone = {0};
    add_block(&alone, mem_grow(NULL, sizeof(struct arena_block) + room), room);
    char *copy = take(alone.block, room);
    if (str.len != 0)
        memcpy(copy, str.ptr, str.len);
    arena_deinit(arena);
    *arena = alone;
    return (struct str){copy, str.len};
}

void arena_reset(struct arena *arena)
{
    struct arena_block *block = arena->block;
    if (block == NULL)
        return;
    while (block->older != NULL) {
        struct arena_block *older = block->older;
        free_block(block);
        block = older;
    }
    if (block->cap != ARENA_BLOCK_BYTES) {
        /* a big piece must not stay for ever, a small is of no use */
        free_block(block);
        *arena = (struct arena){0};
        return;
    }
    block->used = 0;
    arena->block = block;
    arena->total_bytes = block->cap;
}

void arena_deinit(struct arena *arena)
{
    for (struct arena_block *block = arena->block; block != NULL;) {
        struct arena_block *older = block->older;
        free_block(block);
        block = older;
    }
    *arena = (struct arena){0};
}
