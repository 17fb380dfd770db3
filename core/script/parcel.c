#include "script/parcel.h"

#include "base/mem.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

/* The block for `nparts`, without their places. */
static struct parcel *allocate(uint32_t nparts, size_t bytes)
{
    struct parcel *parcel =
        mem_try_grow(NULL, sizeof(*parcel) + nparts * sizeof(struct str) + bytes);
    if (parcel == NULL)
        return NULL;
    link_init(&parcel->link);
    parcel->nparts = nparts;
    parcel->bytes = bytes;
    return parcel;
}

static char *first_byte(struct parcel *parcel)
{
    return (char *)(parcel->parts + parcel->nparts);
}

struct parcel *parcel_try_new(uint32_t nparts, const size_t *lengths)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < nparts; i++)
        if (__builtin_add_overflow(bytes, lengths[i], &bytes))
            return NULL;
    struct parcel *parcel = allocate(nparts, bytes);
    if (parcel == NULL)
        return NULL;
    char *at = first_byte(parcel);
    for (uint32_t i = 0; i < nparts; at += lengths[i++])
        parcel->parts[i] = (struct str){at, lengths[i]};
    return parcel;
}

static char *add(struct parcel *parcel, uint32_t place, char *at, struct str bytes)
{
    memcpy(at, bytes.ptr, bytes.len);
    parcel->parts[place] = (struct str){at, bytes.len};
    return at + bytes.len;
}

/* Entry `place` of the list at `index`; borrowed from the list. */
static struct str entry(lua_State *L, int index, int place)
{
    struct str bytes;
    lua_rawgeti(L, index, place);
    bytes.ptr = luaL_checklstring(L, -1, &bytes.len);
    lua_pop(L, 1);
    return bytes;
}

struct parcel *parcel_read(lua_State *L, int index)
{
    struct str first;
    first.ptr = luaL_checklstring(L, index, &first.len);
    uint32_t nothers = lua_istable(L, index + 1) ? (uint32_t)lua_objlen(L, index + 1) : 0;
    size_t bytes = first.len;
    for (uint32_t i = 1; i <= nothers; i++)
        bytes += entry(L, index + 1, (int)i).len;
    struct parcel *parcel = allocate(nothers + 1, bytes);
    if (parcel == NULL)
        return NULL;
    char *at = add(parcel, 0, first_byte(parcel), first);
    for (uint32_t i = 1; i <= nothers; i++)
        at = add(parcel, i, at, entry(L, index + 1, (int)i));
    return parcel;
}

void parcel_push(const struct parcel *parcel, lua_State *L)
{
    lua_pushlstring(L, parcel->parts[0].ptr, parcel->parts[0].len);
    if (parcel->nparts == 1) {
        lua_pushnil(L);
        return;
    }
    lua_createtable(L, (int)parcel->nparts - 1, 0);
    for (uint32_t i = 1; i < parcel->nparts; i++) {
        lua_pushlstring(L, parcel->parts[i].ptr, parcel->parts[i].len);
        lua_rawseti(L, -2, (int)i);
    }
}

void parcel_free(struct parcel *parcel)
{
    free(parcel);
}

void parcels_free(struct link *messages)
{
    for (struct link *first; (first = link_take_first(messages)) != NULL;) {
        struct parcel *parcel = LIST_ENTRY(first, struct parcel, link);
        parcel_free(parcel);
    }
}
