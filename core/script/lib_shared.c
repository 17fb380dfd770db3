/*
 * moonloop.core.shared: the shared dictionary for Lua. Tables come and go as bytes that Lua
 * encoded. Nothing here waits in the scheduler's sense; a writer may hold the thread for a moment.
 */
#include "script/lib_shared.h"

#include "base/buf.h"
#include "script/vm.h"
#include "shared/dict.h"
#include "shared/dict_home.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { KEPT_BYTES = 1 << 16 };

static const char scratch_key = 0; /* its address is the registry's key */

struct dict *lib_shared_dict(lua_State *L)
{
    struct fault fault = {0};
    struct dict *dict = dict_open(&fault);
    if (dict == NULL) {
        vm_push_error(L, "system", "%s", fault.text);
        lua_error(L);
    }
    return dict;
}

int lib_shared_raise(lua_State *L, int status)
{
    switch (status) {
    case -ENOSPC:
        vm_push_error(L, "full",
                      "the shared dictionary is full, and nothing can be evicted: raise "
                      "shared_size, or look at the space that is left where it lies");
        break;
    case -E2BIG:
        vm_push_error(L, "too_large", "a value may take at most a quarter of shared_size");
        break;
    case -EDOM:
        vm_push_error(L, "type", "the value is no number: nothing can be added to it");
        break;
    case -ERANGE:
        vm_push_error(L, "range", "the sum is not a number");
        break;
    case -ETIMEDOUT:
        vm_push_error(L, "timeout",
                      "another process has held the shared dictionary for %d s: is it stopped?",
                      DICT_PATIENCE_MS / 1000);
        break;
    default:
        vm_push_error(L, "system", "shared dictionary: %s", dict_strerror(status));
    }
    return lua_error(L);
}

/* ---- arguments ---- */

static struct str check_str(lua_State *L, int index)
{
    struct str text;
    text.ptr = luaL_checklstring(L, index, &text.len);
    return text;
}

/* name, key */
static void check_key(lua_State *L, struct dict_key *key)
{
    if (!dict_key_set(key, check_str(L, 1), check_str(L, 2))) {
        vm_push_error(L, "too_large", "a key of the shared dictionary has at most %d bytes here",
                      DICT_KEY_BYTES - 1 - (int)check_str(L, 1).len);
        lua_error(L);
    }
}

/* value, is_table */
static struct dict_value check_value(lua_State *L, int index)
{
    struct dict_value value = {.type = DICT_NONE};
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        value.type = lua_toboolean(L, index) ? DICT_TRUE : DICT_FALSE;
        break;
    case LUA_TNUMBER:
        value.type = DICT_NUMBER;
        value.number = lua_tonumber(L, index);
        break;
    case LUA_TSTRING:
        value.type = lua_toboolean(L, index + 1) ? DICT_TABLE : DICT_STRING;
        value.bytes = check_str(L, index);
        break;
    default:
        luaL_argcheck(L, lua_isnoneornil(L, index), index, "expected a plain value");
    }
    return value;
}

/* ttl in seconds (nil: for ever, -1: as before), is_pinned */
static struct dict_terms check_terms(lua_State *L, int index)
{
    double seconds = luaL_optnumber(L, index, 0);
    struct dict_terms terms = {.is_pinned = lua_toboolean(L, index + 1)};
    terms.ttl_ms = seconds < 0 ? DICT_KEEP_TTL : (int64_t)ceil(seconds * 1000);
    return terms;
}

static int push_status(lua_State *L, int status)
{
    if (status < 0)
        return lib_shared_raise(L, status);
    lua_pushboolean(L, status > 0);
    return 1;
}

/* ---- reading ---- */

static int on_scratch_gc(lua_State *L)
{
    buf_deinit(lua_touserdata(L, 1));
    return 0;
}

/* One for each VM, so that an error while its bytes are pushed leaks nothing. */
static struct buf *scratch_of(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&scratch_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    struct buf *scratch = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return scratch;
}

static void make_scratch(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&scratch_key);
    struct buf *scratch = lua_newuserdata(L, sizeof(*scratch));
    *scratch = (struct buf){0};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, on_scratch_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

static void release_scratch(struct buf *scratch)
{
    scratch->len = 0;
    if (scratch->cap > KEPT_BYTES)
        buf_deinit(scratch);
}

static void push_value(lua_State *L, const struct dict_value *value)
{
    if (value->type == DICT_NUMBER)
        lua_pushnumber(L, value->number);
    else if (value->type == DICT_STRING || value->type == DICT_TABLE)
        lua_pushlstring(L, value->bytes.ptr != NULL ? value->bytes.ptr : "", value->bytes.len);
    else
        lua_pushboolean(L, value->type == DICT_TRUE);
}

/* For dict_counter_add and _get: nothing when there is no cell. */
static int push_counter(lua_State *L, const struct dict_counter *counter)
{
    if (counter->cell == NULL)
        return 0;
    lua_pushlightuserdata(L, counter->cell);
    lua_pushnumber(L, (double)counter->serial);
    return 2;
}

/* get(name, key) -> value, is_table, left, cell, serial; nil: none. `left`: seconds, nil for ever
 */
static int l_get(lua_State *L)
{
    struct dict_key key;
    struct dict_found found;
    check_key(L, &key);
    struct buf *scratch = scratch_of(L);
    int status = dict_get(lib_shared_dict(L), &key, &found, scratch);
    if (status < 0)
        return lib_shared_raise(L, status);
    if (status == 0)
        return 0;
    push_value(L, &found.value);
    release_scratch(scratch);
    lua_pushboolean(L, found.value.type == DICT_TABLE);
    if (found.left_ms < 0)
        lua_pushnil(L);
    else
        lua_pushnumber(L, (double)found.left_ms / 1000);
    return 3 + push_counter(L, &found.counter);
}

/* keys(name, prefix, limit) -> list */
static int l_keys(lua_State *L)
{
    struct dict_key prefix;
    check_key(L, &prefix);
    struct buf *scratch = scratch_of(L);
    scratch->len = 0;
    int count = dict_keys(lib_shared_dict(L), &prefix, (uint32_t)luaL_checkinteger(L, 3), scratch);
    if (count < 0)
        return lib_shared_raise(L, count);
    lua_createtable(L, count, 0);
    const char *at = scratch->ptr;
    for (int i = 1; i <= count; i++) {
        uint16_t len;
        memcpy(&len, at, sizeof(len));
        lua_pushlstring(L, at + sizeof(len), len);
        lua_rawseti(L, -2, i);
        at += sizeof(len) + len;
    }
    release_scratch(scratch);
    return 1;
}

/* ---- changing ---- */

/* set(name, key, value, is_table, ttl, is_pinned) */
static int l_set(lua_State *L)
{
    struct dict_key key;
    check_key(L, &key);
    struct dict_value value = check_value(L, 3);
    struct dict_terms terms = check_terms(L, 5);
    int status = dict_set(lib_shared_dict(L), &key, &value, &terms);
    return status < 0 ? lib_shared_raise(L, status) : 0;
}

/* add(name, key, value, is_table, ttl, is_pinned) -> boolean */
static int l_add(lua_State *L)
{
    struct dict_key key;
    check_key(L, &key);
    struct dict_value value = check_value(L, 3);
    struct dict_terms terms = check_terms(L, 5);
    return push_status(L, dict_add(lib_shared_dict(L), &key, &value, &terms));
}

/* cas(name, key, value, is_table, ttl, is_pinned, expected, is_table) -> boolean */
static int l_cas(lua_State *L)
{
    struct dict_key key;
    check_key(L, &key);
    struct dict_value value = check_value(L, 3), expected = check_value(L, 7);
    struct dict_terms terms = check_terms(L, 5);
    return push_status(L, dict_cas(lib_shared_dict(L), &key, &expected, &value, &terms));
}

/* incr(name, key, by, initial, ttl, is_pinned) -> number, cell, serial */
static int l_incr(lua_State *L)
{
    struct dict_key key;
    struct dict_counter counter = {NULL, 0};
    double result = 0, by = luaL_checknumber(L, 3), initial = luaL_checknumber(L, 4);
    check_key(L, &key);
    struct dict_terms terms = check_terms(L, 5);
    int status = dict_incr(lib_shared_dict(L), &key, by, initial, &terms, &result, &counter);
    if (status < 0)
        return lib_shared_raise(L, status);
    lua_pushnumber(L, result);
    return 1 + push_counter(L, &counter);
}

/* delete(name, key) -> boolean */
static int l_delete(lua_State *L)
{
    struct dict_key key;
    check_key(L, &key);
    return push_status(L, dict_delete(lib_shared_dict(L), &key));
}

/* clear(name, prefix) */
static int l_clear(lua_State *L)
{
    struct dict_key prefix;
    check_key(L, &prefix);
    int status = dict_clear(lib_shared_dict(L), &prefix);
    return status < 0 ? lib_shared_raise(L, status) : 0;
}

/* ---- the whole ---- */

static void set_number(lua_State *L, const char *name, uint64_t number)
{
    lua_pushnumber(L, (double)number);
    lua_setfield(L, -2, name);
}

/* stats() -> table */
static int l_stats(lua_State *L)
{
    struct dict_stats stats = {0};
    int status = dict_stats(lib_shared_dict(L), &stats);
    if (status < 0)
        return lib_shared_raise(L, status);
    lua_createtable(L, 0, 7);
    set_number(L, "limit_bytes", stats.limit_bytes);
    set_number(L, "used_bytes", stats.used_bytes);
    set_number(L, "entries", stats.entries);
    set_number(L, "counters", stats.counters);
    set_number(L, "evicted", stats.evicted);
    set_number(L, "expired", stats.expired);
    set_number(L, "recovered", stats.recovered);
    return 1;
}

/* sweep() */
static int l_sweep(lua_State *L)
{
    int status = dict_sweep(lib_shared_dict(L));
    return status < 0 ? lib_shared_raise(L, status) : 0;
}

/* path() -> text: where it lies; what another process may join with MOONLOOP_INTERNAL_SHARED */
static int l_path(lua_State *L)
{
    struct fault fault = {0};
    const char *path = dict_home_path(&fault);
    if (path == NULL) {
        vm_push_error(L, "system", "%s", fault.text);
        return lua_error(L);
    }
    lua_pushstring(L, path);
    return 1;
}

/* use(path or nil, size, is_synced) -> true, or false and why not. Before anything else here. */
static int l_use(lua_State *L)
{
    struct fault fault = {0};
    struct dict_home_options options = {
        .path = luaL_optstring(L, 1, NULL),
        .size_bytes = (uint64_t)luaL_checknumber(L, 2),
        .is_synced = lua_toboolean(L, 3),
    };
    lua_pushboolean(L, dict_home_use(&options, &fault));
    lua_pushstring(L, fault.text);
    return 2;
}

/* join(path): another process's */
static int l_join(lua_State *L)
{
    dict_home_join(luaL_checkstring(L, 1));
    return 0;
}

int luaopen_moonloop_core_shared(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"get", l_get},     {"keys", l_keys},   {"set", l_set},       {"add", l_add},
        {"cas", l_cas},     {"incr", l_incr},   {"delete", l_delete}, {"clear", l_clear},
        {"stats", l_stats}, {"sweep", l_sweep}, {"path", l_path},     {"use", l_use},
        {"join", l_join},   {NULL, NULL}};
    make_scratch(L);
    vm_library(L, functions);
    return 1;
}
