/*
 * arena.h - the bytes of one request: taken piece by piece, given back all at once.
 *
 * The first block stays with the arena, so that a connection which serves many requests allocates
 * once. A zeroed struct is an empty arena.
 */
#pragma once

#include "base/str.h"

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *block; /* the newest; older ones hang behind it */
    size_t total_bytes;
};

struct str arena_copy(struct arena *arena, struct str str);
/* Gives all back but a copy of `str`, which may lie in the arena: for what is kept for long. */
struct str arena_keep_alone(struct arena *arena, struct str str);
void arena_reset(struct arena *arena);
void arena_deinit(struct arena *arena);
