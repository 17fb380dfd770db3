/*
 * Where a wait is not possible: LuaJIT cannot suspend a coroutine across a C function that has
 * called back into Lua. What is in the way is named, with what to do instead.
 */
#include "base/log.h"
#include "script/task_parts.h"

#include <string.h>

static const char handler_way_out[] =
    "an error handler of xpcall: return from it, and wait after the xpcall";
/* These are called by LuaJIT itself: nothing on the stack tells which one it is. */
static const char unnamed[] =
    "a finalizer (__gc), a debug hook or a callback of the FFI: wait before or after it";
static const char unnamed_handler[] =
    "an error handler of xpcall, a finalizer (__gc) or a debug hook: wait before or after it";

/* What to do instead, for the functions that people meet. */
static const struct blocker {
    const char *name, *way_out;
} blockers[] = {
    {"table.sort", "table.sort: fetch what the comparison needs before sorting"},
    {"string.gsub",
     "string.gsub: collect the values in a loop over string.gmatch first, then replace"},
    {"require", "a file that is being loaded: wait in the handler, or in app:on_start"},
    {"dofile", "a file that is being loaded: wait in a function that is called later"},
    {"load", "the reader of load: read all pieces first, then load their table.concat"},
    {"print", "__tostring, called by print: make the text first"},
    {"string.format", "__tostring, called by string.format: make the text first"},
    {"collectgarbage", "a finalizer (__gc), which may run anywhere: let it tell a task that waits"},
    {"error", handler_way_out},
};

/* The name in the table on top of L of the function at `function`, or nil; pops the table. */
static void push_field_of(lua_State *L, int function)
{
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        if (lua_rawequal(L, -1, function) && lua_type(L, -2) == LUA_TSTRING) {
            lua_pop(L, 1);
            lua_remove(L, -2);
            return;
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    lua_pushnil(L);
}

/* "table.sort" or "print" for the C function on top of L, which is replaced; nil for one that is in
 * no library of Lua's. */
static void name_function(lua_State *L)
{
    static const char *const libraries[] = {"_G", "table", "string",   "io",
                                            "os", "debug", "coroutine"};
    int function = lua_gettop(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    for (size_t i = 0; i < sizeof(libraries) / sizeof(*libraries); i++) {
        lua_getfield(L, function + 1, libraries[i]);
        if (!lua_istable(L, -1)) {
            lua_pop(L, 1);
            continue;
        }
        push_field_of(L, function);
        if (lua_isstring(L, -1)) {
            lua_pushfstring(L, i == 0 ? "%s%s" : "%s.%s", i == 0 ? "" : libraries[i],
                            lua_tostring(L, -1));
            lua_replace(L, function);
            lua_settop(L, function);
            return;
        }
        lua_pop(L, 1);
    }
    lua_settop(L, function);
    lua_pushnil(L);
    lua_replace(L, function);
}

/* What is in the way at a C function whose name, or nil, is on top of L. */
static void push_way_out(lua_State *L, const char *called)
{
    const char *name = lua_isstring(L, -1) ? lua_tostring(L, -1) : called;
    for (size_t i = 0; i < sizeof(blockers) / sizeof(*blockers); i++)
        if (name != NULL && strcmp(blockers[i].name, name) == 0) {
            lua_pushstring(L, blockers[i].way_out);
            return;
        }
    if (name != NULL)
        lua_pushfstring(L, "a callback of %s, which is a C function: wait before or after it",
                        name);
    else
        lua_pushliteral(L, "a callback of a C function: wait before or after it");
}

/* The innermost C function that Lua called and that cannot be left by a wait. */
static void push_blocker(lua_State *L)
{
    lua_Debug at;
    bool is_protected = false;
    for (int level = 1; lua_getstack(L, level, &at) != 0; level++) {
        if (lua_getinfo(L, "Snf", &at) == 0)
            continue;
        if (*at.what != 'C') {
            lua_pop(L, 1);
            continue;
        }
        name_function(L);
        const char *name = lua_tostring(L, -1);
        if (name != NULL && strstr(name, "pcall") != NULL) { /* waits go through it */
            is_protected = is_protected || strcmp(name, "xpcall") == 0;
            lua_pop(L, 1);
            continue;
        }
        push_way_out(L, at.name);
        lua_remove(L, -2);
        return;
    }
    lua_pushstring(L, is_protected ? unnamed_handler : unnamed);
}

void task_push_unyieldable(lua_State *L)
{
    char site[TASK_SITE_BYTES];
    int line;
    push_blocker(L);
    vm_push_error(L, "misuse", "cannot wait inside %s", lua_tostring(L, -1));
    /* LuaJIT makes "error in error handling" of whatever an error handler raises. */
    const char *what = lua_tostring(L, -2);
    if (strncmp(what, handler_way_out, sizeof("an error handler") - 1) == 0 &&
        task_find_site(L, 1, site, &line))
        log_error("%s:%d: cannot wait inside %s", site, line, what);
    lua_remove(L, -2);
}
