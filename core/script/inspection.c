#include "script/inspection.h"

#include "base/config.h"
#include "base/fault.h"
#include "base/snapshot.h"
#include "loop/loop.h"
#include "script/command_line.h"
#include "script/generation.h"
#include "script/vm.h"

#include <lua.h>
#include <stdio.h>

static void set_text(lua_State *L, const char *name, struct str text)
{
    lua_pushlstring(L, text.ptr, text.len);
    lua_setfield(L, -2, name);
}

/* A list of { name =, is_ok =, error = }. */
static void push_apps(lua_State *L, const struct generation *generation)
{
    size_t count = generation_napps(generation);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        struct app_report report = generation_app(generation, i);
        lua_createtable(L, 0, 3);
        set_text(L, "name", report.name);
        set_text(L, "error", report.error);
        lua_pushboolean(L, report.is_ok);
        lua_setfield(L, -2, "is_ok");
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* A list of { method =, pattern =, app =, source = }. */
static void push_routes(lua_State *L, const struct generation *generation)
{
    size_t count = generation_nroutes(generation);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        struct route_info route = generation_route(generation, i);
        lua_createtable(L, 0, 4);
        set_text(L, "method", route.method);
        set_text(L, "pattern", route.pattern);
        set_text(L, "app", route.app);
        set_text(L, "source", route.source);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* Calls finish(settled, apps, routes) of lua/moonloop/cli/init.lua; false with the error on the
 * stack. */
static bool print_outcome(lua_State *L, const struct generation *generation, int *exit_code)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "moonloop.cli");
    if (vm_pcall(L, 1, 1) != 0)
        return false;
    lua_getfield(L, -1, "finish");
    lua_pushvalue(L, 1);
    push_apps(L, generation);
    push_routes(L, generation);
    if (vm_pcall(L, 3, 1) != 0)
        return false;
    *exit_code = (int)lua_tointeger(L, -1);
    return true;
}

int inspection_run(const struct command_line *line, const struct config *config)
{
    struct fault fault = {0};
    struct generation *generation = NULL;
    int exit_code = 1;
    lua_State *L = command_line_state(line);
    struct loop *loop = loop_new();
    struct generations *all = generations_new(loop, config, NULL);
    struct snapshot *snapshot = snapshot_read(config->apps_dir, &fault);
    if (snapshot == NULL || (generation = generation_build(all, 1, snapshot, &fault)) == NULL)
        fprintf(stderr, "moonloop: %s\n", fault.text);
    else if (!print_outcome(L, generation, &exit_code))
        fprintf(stderr, "moonloop: %s\n", lua_tostring(L, -1));
    lua_settop(L, 1);
    if (generation != NULL)
        generation_free(generation);
    generations_free(all);
    loop_free(loop);
    return exit_code;
}
