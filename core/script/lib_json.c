/*
 * lib_json.c - the C half of lua/moonloop/json.lua.
 */
#include "script/lib_json.h"

#include "script/json.h"

#include <lauxlib.h>
#include <stdbool.h>

static const char array_mark_key; /* its address is the registry's key */

void json_push_array_mark(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&array_mark_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (!lua_isnil(L, -1))
        return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 2);
    lua_pushliteral(L, "array");
    lua_setfield(L, -2, "__jsontype");
    lua_pushliteral(L, "moonloop.json.array");
    lua_setfield(L, -2, "__name");
    lua_pushlightuserdata(L, (void *)&array_mark_key);
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

static int on_scratch_gc(lua_State *L)
{
    buf_deinit(lua_touserdata(L, 1));
    return 0;
}

static void push_scratch(lua_State *L)
{
    struct buf *scratch = lua_newuserdata(L, sizeof(*scratch));
    *scratch = (struct buf){0};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, on_scratch_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
}

/* encode(value, is_pretty) -> text, or nil and why not.
 *
 * Upvalue 1 holds a buf that is used again and again; while one call has it the upvalue is nil, so
 * a
 * __tojson that encodes as well takes another one, and one that raises leaves its buf to the GC. */
static int l_encode(lua_State *L)
{
    enum { KEPT_BYTES = 1 << 16 };
    lua_settop(L, 2);
    if (lua_isnil(L, lua_upvalueindex(1)))
        push_scratch(L);
    else
        lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushnil(L);
    lua_replace(L, lua_upvalueindex(1));
    struct buf *out = lua_touserdata(L, 3);
    int style = lua_toboolean(L, 2) ? JSON_PRETTY : JSON_COMPACT;
    bool is_encoded = json_encode(L, 1, out, style) == 0;
    if (is_encoded)
        lua_pushlstring(L, out->ptr, out->len);
    out->len = 0;
    if (out->cap > KEPT_BYTES)
        buf_deinit(out);
    lua_pushvalue(L, 3);
    lua_replace(L, lua_upvalueindex(1));
    if (is_encoded)
        return 1;
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

/* decode(text) -> value; or nil and why not. */
static int l_decode(lua_State *L)
{
    struct str text;
    text.ptr = luaL_checklstring(L, 1, &text.len);
    if (json_decode(L, text) == 0)
        return 1;
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

int luaopen_moonloop_core_json(lua_State *L)
{
    lua_createtable(L, 0, 4);
    lua_pushnil(L);
    lua_pushcclosure(L, l_encode, 1);
    lua_setfield(L, -2, "encode");
    lua_pushcfunction(L, l_decode);
    lua_setfield(L, -2, "decode");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    json_push_array_mark(L);
    lua_setfield(L, -2, "array_mark");
    return 1;
}
