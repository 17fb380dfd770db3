/*
 * The pool of moonloop.core.http: a userdata that owns the connections, and what is in it.
 */
#include "base/fault.h"
#include "http/pool.h"
#include "script/http_parts.h"
#include "script/lib_http.h"
#include "script/vm.h"

#include <lauxlib.h>
#include <math.h>

static const char pool_meta[] = "moonloop.core.http.pool";

static int on_pool_gc(lua_State *L)
{
    struct http_pool *pool = luaL_checkudata(L, 1, pool_meta);
    vm_forget(vm_of(L), pool);
    pool_free(pool->pool);
    pool->pool = NULL;
    while (pool->spare_ops != NULL)
        http_free_spare_op(pool);
    return 0;
}

struct pool *http_push_pool(lua_State *L, const struct pool_options *options, struct fault *fault)
{
    struct vm *vm = vm_of(L);
    if (vm->http_pool_meta == NULL)
        vm->http_pool_meta = vm_new_metatable(L, pool_meta, on_pool_gc);
    struct http_pool *pool = lua_newuserdata(L, sizeof(*pool));
    *pool = (struct http_pool){.L = vm->L};
    luaL_getmetatable(L, pool_meta);
    lua_setmetatable(L, -2);
    pool->pool = pool_new(vm->loop, options, fault);
    return pool->pool;
}

/* pool(connections, queue, idle seconds, verify, ca_file or nil, seconds in the queue or 0,
 * cert_file or nil, key_file or nil, name servers or nil): a pool; or nil and why not */
static int l_pool(lua_State *L)
{
    struct fault fault = {0};
    struct pool_options options = {
        .connections = (uint32_t)luaL_checkinteger(L, 1),
        .queue = (uint32_t)luaL_checkinteger(L, 2),
        .idle_ms = (uint64_t)(luaL_checknumber(L, 3) * 1000),
        .verify = lua_toboolean(L, 4),
        .ca_file = luaL_optstring(L, 5, NULL),
        .queue_ms = (uint64_t)ceil(luaL_optnumber(L, 6, 0) * 1000),
        .cert_file = luaL_optstring(L, 7, NULL),
        .key_file = luaL_optstring(L, 8, NULL),
        .nameservers = luaL_optstring(L, 9, NULL),
    };
    if (http_push_pool(L, &options, &fault) != NULL)
        return 1;
    lua_pushnil(L);
    lua_pushstring(L, fault.text);
    return 2;
}

struct http_pool *http_check_pool(struct vm *vm, lua_State *L, int index)
{
    struct http_pool *pool = vm_check_known(vm, L, index, vm->http_pool_meta, pool_meta);
    luaL_argcheck(L, pool->pool != NULL, index, "the client is closed");
    return pool;
}

void http_pool_hold(lua_State *L, int index, struct http_pool *pool)
{
    if (pool->users++ != 0)
        return;
    lua_pushvalue(L, index);
    pool->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

void http_pool_let_go(struct http_pool *pool)
{
    if (--pool->users == 0)
        luaL_unref(pool->L, LUA_REGISTRYINDEX, pool->self_ref);
}

/* counts(pool): connections, idle ones, exchanges that wait, connections used again, TLS sessions
 * taken up again */
static int l_counts(lua_State *L)
{
    struct pool_counts counts = pool_count(http_check_pool(VM_UPVALUE(L), L, 1)->pool);
    lua_pushinteger(L, counts.connections);
    lua_pushinteger(L, counts.idle);
    lua_pushinteger(L, counts.waiting);
    lua_pushnumber(L, (lua_Number)counts.reused);
    lua_pushnumber(L, (lua_Number)counts.resumed);
    return 5;
}

static void add_origin(void *data, const char *name, const struct pool_counts *counts)
{
    lua_State *L = data;
    lua_createtable(L, 0, 4);
    lua_pushstring(L, name);
    lua_setfield(L, -2, "name");
    lua_pushinteger(L, counts->connections);
    lua_setfield(L, -2, "connections");
    lua_pushinteger(L, counts->idle);
    lua_setfield(L, -2, "idle");
    lua_pushinteger(L, counts->waiting);
    lua_setfield(L, -2, "waiting");
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
}

/* origins(pool): { { name =, connections =, idle =, waiting = }, ... } */
static int l_origins(lua_State *L)
{
    struct pool *pool = http_check_pool(VM_UPVALUE(L), L, 1)->pool;
    lua_newtable(L);
    pool_each(pool, add_origin, L);
    return 1;
}

void http_add_pool_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"pool", l_pool}, {"counts", l_counts}, {"origins", l_origins}, {NULL, NULL}};
    vm_add_functions(L, functions);
}
