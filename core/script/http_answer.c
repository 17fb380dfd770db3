/*
 * What moonloop.core.http tells of an answer whose head has come: fields, interim answers, timing.
 */
#include "http/fetch.h"
#include "script/http_parts.h"
#include "script/vm.h"

#include <ctype.h>
#include <lauxlib.h>

/* interim(fetch): the interim answers that came, each as "103\n", lines "name: value\n", "\n" */
static int l_interim(lua_State *L)
{
    struct str text = buf_str(&http_check_answer(L)->interim);
    lua_pushlstring(L, text.len != 0 ? text.ptr : "", text.len);
    return 1;
}

static void push_lower(lua_State *L, struct str text)
{
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    for (size_t i = 0; i < text.len; i++)
        luaL_addchar(&out, (char)tolower((unsigned char)text.ptr[i]));
    luaL_pushresult(&out);
}

/* headers(fetch, whether names stay as they came): { name, value, ... } in order, else with names
 * in lower case */
static int l_headers(lua_State *L)
{
    const struct fetch *fetch = http_check_answer(L);
    const struct message *message = &fetch->message;
    bool is_raw = lua_toboolean(L, 2);
    lua_createtable(L, (int)message->nheaders * 2, 0);
    for (uint32_t i = 0; i < message->nheaders; i++) {
        const struct header_slice *header = &message->headers[i];
        struct str name = {fetch->answer_head.ptr + header->name.at, header->name.len};
        if (is_raw)
            lua_pushlstring(L, name.ptr, name.len);
        else
            push_lower(L, name);
        lua_rawseti(L, -2, (int)i * 2 + 1);
        lua_pushlstring(L, fetch->answer_head.ptr + header->value.at, header->value.len);
        lua_rawseti(L, -2, (int)i * 2 + 2);
    }
    return 1;
}

/* timing(fetch): dns, connect, tls, first byte, total, in seconds; nil for what did not happen */
static int l_timing(lua_State *L)
{
    const struct fetch_timing *timing = &http_check_answer(L)->timing;
    const uint64_t all[] = {timing->dns, timing->connect, timing->tls, timing->first_byte,
                            timing->total};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if (all[i] != 0)
            lua_pushnumber(L, (lua_Number)all[i] / 1e6);
        else
            lua_pushnil(L);
    }
    return 5;
}

void http_add_answer_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"interim", l_interim}, {"headers", l_headers}, {"timing", l_timing}, {NULL, NULL}};
    vm_add_functions(L, functions);
}
