/*
 * parcel.h - what travels between two VMs: values as lua/moonloop/transfer.lua encodes them, and
 * beside them the strings that are too big to be encoded without being copied once more.
 *
 * One block of memory, filled once, handed over, read once. Between two VMs of one process a big
 * string is copied into it and out of it and not at all on the way.
 */
#pragma once

#include "base/list.h"
#include "base/str.h"

#include <lua.h>
#include <stdint.h>

struct parcel {
    struct link link; /* in a list of its owner's */
    uint32_t nparts;  /* one or more */
    size_t bytes;     /* of all parts, which lie one behind the other in this block */
    struct str parts[];
};

/* The string at `index` and those in the list at index + 1, which may be nil. NULL: not enough
 * memory for it. */
struct parcel *parcel_read(lua_State *L, int index);
/* Room for parts of these lengths, to be filled by the caller. NULL: not enough memory. */
struct parcel *parcel_try_new(uint32_t nparts, const size_t *lengths);
/* Pushes a string, and a list of the others or nil. */
void parcel_push(const struct parcel *parcel, lua_State *L);
void parcel_free(struct parcel *parcel);  /* NULL is fine */
void parcels_free(struct link *messages); /* a list of them */
