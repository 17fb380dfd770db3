/*
 * moonloop.core.http: what is known of names, for `moonloop ps`.
 */
#include "net/resolve.h"
#include "script/http_parts.h"
#include "script/vm.h"

static void add_number(lua_State *L, const char *key, uint64_t number)
{
    lua_pushnumber(L, (lua_Number)number);
    lua_setfield(L, -2, key);
}

static void add_resolver(void *data, const struct resolver_counts *counts)
{
    lua_State *L = data;
    lua_createtable(L, 0, 5);
    lua_pushstring(L, counts->servers);
    lua_setfield(L, -2, "servers");
    add_number(L, "lookups", counts->lookups);
    add_number(L, "remembered", counts->remembered);
    add_number(L, "known", counts->known);
    add_number(L, "asking", counts->asking);
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
}

/* resolvers(): { { servers =, lookups =, remembered =, known =, asking = }, ... } of this loop */
static int l_resolvers(lua_State *L)
{
    lua_newtable(L);
    resolvers_each(vm_of(L)->loop, add_resolver, L);
    return 1;
}

void http_add_name_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"resolvers", l_resolvers}, {NULL, NULL}};
    vm_add_functions(L, functions);
}
