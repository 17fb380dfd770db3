#include "base/arena.h"

#include "base/mem.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BLOCK_BYTES = 2048 };

struct arena_block {
    struct arena_block *older;
    size_t used;
    size_t cap;
    alignas(max_align_t) char bytes[];
};

void *arena_try_alloc(struct arena *arena, size_t bytes)
{
    struct arena_block *block = arena->block;
    size_t rounded = (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (rounded < bytes)
        return NULL;
    if (block == NULL || block->cap - block->used < rounded) {
        size_t cap = rounded > ARENA_BLOCK_BYTES ? rounded : ARENA_BLOCK_BYTES;
        struct arena_block *fresh = malloc(sizeof(*fresh) + cap);
        if (fresh == NULL)
            return NULL;
        *fresh = (struct arena_block){.older = block, .cap = cap};
        arena->total_bytes += cap;
        arena->block = block = fresh;
    }
    void *piece = block->bytes + block->used;
    block->used += rounded;
    return piece;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    void *piece = arena_try_alloc(arena, bytes);
    ENSURE(piece != NULL);
    return piece;
}

struct str arena_copy(struct arena *arena, struct str str)
{
    char *copy = arena_alloc(arena, str.len != 0 ? str.len : 1);
    if (str.len != 0)
        memcpy(copy, str.ptr, str.len);
    return (struct str){copy, str.len};
}

struct str arena_keep_alone(struct arena *arena, struct str str)
{
    struct arena_block *alone = mem_grow(NULL, sizeof(*alone) + str.len);
    *alone = (struct arena_block){.used = str.len, .cap = str.len};
    if (str.len != 0)
        memcpy(alone->bytes, str.ptr, str.len);
    arena_deinit(arena);
    *arena = (struct arena){.block = alone, .total_bytes = str.len};
    return (struct str){alone->bytes, str.len};
}

void arena_reset(struct arena *arena)
{
    struct arena_block *block = arena->block;
    if (block == NULL)
        return;
    while (block->older != NULL) {
        struct arena_block *older = block->older;
        free(block);
        block = older;
    }
    if (block->cap !=
        ARENA_BLOCK_BYTES) { /* a big piece must not stay for ever, a small is of no use */
        free(block);
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
        free(block);
        block = older;
    }
    *arena = (struct arena){0};
}
