/*
 * moonloop.core.lease: leases on names for lua/moonloop/lock.lua. A lease is known by its token, a
 * number that Lua can hold exactly.
 */
#include "script/lib_shared.h"

#include "script/task.h"
#include "script/vm.h"
#include "shared/dict_lease.h"

#include <math.h>
#include <string.h>

static void check_name(lua_State *L, struct dict_key *key)
{
    struct str name;
    name.ptr = luaL_checklstring(L, 1, &name.len);
    if (name.len > DICT_KEY_BYTES) {
        vm_push_error(L, "too_large", "the name of a lock has at most %d bytes", DICT_KEY_BYTES);
        lua_error(L);
    }
    memcpy(key->bytes, name.ptr, name.len);
    key->len = (uint32_t)name.len;
}

static int64_t check_ttl(lua_State *L, int index)
{
    return (int64_t)ceil(luaL_checknumber(L, index) * 1000);
}

static int push_status(lua_State *L, int status)
{
    if (status < 0)
        return lib_shared_raise(L, status);
    lua_pushboolean(L, status > 0);
    return 1;
}

static int push_holder(lua_State *L, const struct dict_lease *lease)
{
    lua_pushinteger(L, lease->pid);
    lua_pushnumber(L, (double)lease->left_ms / 1000);
    return 3;
}

/* take(name, ttl) -> token, or nil, pid of the holder, seconds that its lease has left */
static int l_take(lua_State *L)
{
    struct dict_key key;
    struct dict_lease lease;
    check_name(L, &key);
    int status = dict_lease_take(lib_shared_dict(L), &key, check_ttl(L, 2), &lease);
    if (status < 0)
        return lib_shared_raise(L, status);
    if (status > 0)
        lua_pushnumber(L, (double)lease.token);
    else
        lua_pushnil(L);
    return push_holder(L, &lease);
}

/* look(name) -> token, pid, left; nil when it is free */
static int l_look(lua_State *L)
{
    struct dict_key key;
    struct dict_lease lease;
    check_name(L, &key);
    int status = dict_lease_look(lib_shared_dict(L), &key, &lease);
    if (status < 0)
        return lib_shared_raise(L, status);
    if (status == 0)
        return 0;
    lua_pushnumber(L, (double)lease.token);
    return push_holder(L, &lease);
}

/* renew(name, token, ttl) -> whether it is still ours */
static int l_renew(lua_State *L)
{
    struct dict_key key;
    check_name(L, &key);
    uint64_t token = (uint64_t)luaL_checknumber(L, 2);
    return push_status(L, dict_lease_renew(lib_shared_dict(L), &key, token, check_ttl(L, 3)));
}

/* release(name, token) -> whether it was still ours */
static int l_release(lua_State *L)
{
    struct dict_key key;
    check_name(L, &key);
    uint64_t token = (uint64_t)luaL_checknumber(L, 2);
    return push_status(L, dict_lease_release(lib_shared_dict(L), &key, token));
}

/* task() -> a number that is the running task's alone; nil outside of a task */
static int l_task(lua_State *L)
{
    const struct task *task = VM_UPVALUE(L)->current;
    if (task == NULL)
        return 0;
    lua_pushnumber(L, (double)task->serial);
    return 1;
}

int luaopen_moonloop_core_lease(lua_State *L)
{
    static const luaL_Reg functions[] = {{"take", l_take},   {"look", l_look},
                                         {"renew", l_renew}, {"release", l_release},
                                         {"task", l_task},   {NULL, NULL}};
    vm_library(L, functions);
    return 1;
}
