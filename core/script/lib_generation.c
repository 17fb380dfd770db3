/*
 * moonloop.core.generation: what lua/moonloop/loader.lua reads app files from and tells apps and
 * routes to.
 */
#include "base/mem.h"
#include "http/method.h"
#include "loop/deadline.h"
#include "script/generation_state.h"
#include "script/watchdog.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct generation *generation_of(lua_State *L)
{
    return VM_UPVALUE(L)->generation;
}

static struct str check_str(lua_State *L, int index)
{
    struct str text;
    text.ptr = luaL_checklstring(L, index, &text.len);
    return text;
}

/* files(): names of all files on disk now, in the snapshot's order */
static int l_files(lua_State *L)
{
    struct snapshot *snapshot = generation_of(L)->snapshot;
    int count = 0;
    lua_newtable(L);
    for (size_t i = 0; i < snapshot_count(snapshot); i++) {
        struct snapshot_file file = snapshot_at(snapshot, i);
        if (file.layer.len != 0)
            continue;
        lua_pushlstring(L, file.name.ptr, file.name.len);
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

/* file(app, name): its bytes as this app sees them, or nil */
static int l_file(lua_State *L)
{
    struct snapshot_file file;
    if (!snapshot_find(generation_of(L)->snapshot, check_str(L, 1), check_str(L, 2), &file))
        return 0;
    lua_pushlstring(L, file.bytes.ptr, file.bytes.len);
    return 1;
}

/* add_app(name, mount): its number, from 1 */
static int l_add_app(lua_State *L)
{
    struct generation *generation = generation_of(L);
    const char *name = luaL_checkstring(L, 1), *mount = luaL_checkstring(L, 2);
    generation->apps =
        mem_grow(generation->apps, (generation->napps + 1) * sizeof(*generation->apps));
    generation->apps[generation->napps++] = (struct app){
        .name = mem_copy_text(name),
        .mount = mem_copy_text(mount),
        .is_ok = true,
        .error = mem_copy_text(""),
    };
    lua_pushinteger(L, (lua_Integer)generation->napps);
    return 1;
}

/* fail_app(number, error, handler): none of its routes is served; each answers with `handler` */
static int l_fail_app(lua_State *L)
{
    struct generation *generation = generation_of(L);
    size_t number = (size_t)luaL_checkinteger(L, 1);
    const char *error = luaL_checkstring(L, 2);
    luaL_argcheck(L, number >= 1 && number <= generation->napps, 1, "no such app");
    struct app *app = &generation->apps[number - 1];
    free(app->error);
    app->error = mem_copy_text(error);
    app->is_ok = false;
    app->not_found = NULL;
    for (size_t i = 0; i < generation->nroutes; i++) {
        struct route *route = generation->routes[i];
        if (route->app != number - 1)
            continue;
        luaL_unref(L, LUA_REGISTRYINDEX, route->handler_ref);
        lua_pushvalue(L, 3);
        route->handler_ref = luaL_ref(L, LUA_REGISTRYINDEX);
        route->wants = 0;
    }
    return 0;
}

static struct router *router_for(struct generation *generation, const char *host)
{
    size_t count = generation->nrouters;
    for (size_t i = 0; i < count; i++) {
        const char *known = generation->routers[i].host;
        if ((host == NULL && known == NULL) ||
            (host != NULL && known != NULL && strcasecmp(host, known) == 0))
            return generation->routers[i].router;
    }
    generation->routers = mem_grow(generation->routers, (count + 1) * sizeof(*generation->routers));
    struct host_router fresh = {host != NULL ? mem_copy_text(host) : NULL, router_new()};
    generation->nrouters++;
    if (host == NULL || count == 0) {
        generation->routers[count] = fresh;
    } else { /* the router for any host stays last */
        generation->routers[count] = generation->routers[count - 1];
        generation->routers[count - 1] = fresh;
    }
    return fresh.router;
}

static lua_Number option(lua_State *L, int index, const char *name, lua_Number fallback)
{
    lua_getfield(L, index, name);
    lua_Number value = lua_isnil(L, -1) ? fallback : lua_tonumber(L, -1);
    lua_pop(L, 1);
    return value;
}

/* The names of a route's parameters, made strings of this VM once. */
static void keep_param_names(lua_State *L, struct route *route)
{
    struct str name;
    for (uint32_t i = 0; i < ROUTER_MAX_PARAMS; i++) {
        name = router_param_name(route->router, (int32_t)route->number, i);
        if (name.len == 0)
            return;
        route->param_refs = mem_grow(route->param_refs, (i + 1) * sizeof(*route->param_refs));
        lua_pushlstring(L, name.ptr, name.len);
        route->param_refs[i] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
}

/* add_route{ app =, method =, pattern =, source =, wants =, host =, timeout =, max_body =, limit =,
 *            thread =, handler =, not_found = }: true, or nil and why. Checked by the loader. */
static int l_add_route(lua_State *L)
{
    struct generation *generation = generation_of(L);
    const struct config *config = generation->all->config;
    const char *why = NULL;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "method");
    lua_getfield(L, 1, "pattern");
    lua_getfield(L, 1, "source");
    lua_getfield(L, 1, "host");
    struct route *route = MEM_NEW(struct route);
    uint32_t number = (uint32_t)generation->nroutes;
    route->number = number;
    route->method = mem_copy_text(lua_tostring(L, 2));
    route->pattern = mem_copy_text(lua_tostring(L, 3));
    route->source = mem_copy_text(lua_tostring(L, 4));
    if (!lua_isnil(L, 5))
        route->shown =
            mem_copy_text(lua_pushfstring(L, "%s%s", lua_tostring(L, 5), route->pattern));
    route->app = (uint32_t)option(L, 1, "app", 1) - 1;
    route->wants = (uint8_t)option(L, 1, "wants", 2);
    route->limit = (uint32_t)option(L, 1, "limit", 0);
    route->max_body = (uint64_t)option(L, 1, "max_body", (lua_Number)config->max_body);
    route->timeout_ms = (uint32_t)(option(L, 1, "timeout", config->timeout_ms / 1000.0) * 1000);
    route->deadlines = deadline_queue(generation->all->loop, route->timeout_ms);
    lua_getfield(L, 1, "thread");
    route->runs_in_thread = lua_toboolean(L, -1);
    route->router = router_for(generation, lua_tostring(L, 5));
    generation->routes =
        mem_grow(generation->routes, (generation->nroutes + 1) * sizeof(*generation->routes));
    generation->routes[generation->nroutes++] = route;
    lua_getfield(L, 1, "handler");
    route->handler_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, 1, "not_found");
    if (lua_toboolean(L, -1)) {
        generation->apps[route->app].not_found = route;
    } else if (router_add(route->router, router_method(str_of(route->method)),
                          str_of(route->pattern), (int32_t)number, &why) != 0) {
        generation->nroutes--;
        luaL_unref(L, LUA_REGISTRYINDEX, route->handler_ref);
        free(route->method);
        free(route->pattern);
        free(route->shown);
        free(route->source);
        free(route);
        lua_pushnil(L);
        lua_pushstring(L, why);
        return 2;
    }
    keep_param_names(L, route);
    lua_pushboolean(L, true);
    return 1;
}

/* add_file(path): a file outside the apps directory that an app required */
static int l_add_file(lua_State *L)
{
    struct generation *generation = generation_of(L);
    const char *path = luaL_checkstring(L, 1);
    for (size_t i = 0; i < generation->nfiles; i++)
        if (strcmp(generation->files[i], path) == 0)
            return 0;
    generation->files =
        mem_grow(generation->files, (generation->nfiles + 2) * sizeof(*generation->files));
    generation->files[generation->nfiles++] = mem_copy_text(path);
    generation->files[generation->nfiles] = NULL;
    return 0;
}

/* guarded(fn, ...): calls code of an app while it is being loaded: true and what it gives, or false
 * and the error, a string with its traceback. It is interrupted when it takes longer than
 * block_limit. */
static int l_guarded(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (vm->current != NULL || L != vm->L)
        return luaL_error(L, "guarded is for loading");
    vm_slice_begins(vm, 0);
    int status = vm_pcall(L, lua_gettop(L) - 1, LUA_MULTRET);
    if (vm_slice_ends(vm))
        status = watchdog_after_slice(vm, L, status);
    if (status != 0) { /* the error alone */
        lua_insert(L, 1);
        lua_settop(L, 1);
    }
    lua_pushboolean(L, status == 0);
    lua_insert(L, 1);
    return lua_gettop(L);
}

int luaopen_moonloop_core_generation(lua_State *L)
{
    static const luaL_Reg functions[] = {{"files", l_files},         {"file", l_file},
                                         {"add_app", l_add_app},     {"fail_app", l_fail_app},
                                         {"add_route", l_add_route}, {"add_file", l_add_file},
                                         {"guarded", l_guarded},     {NULL, NULL}};
    vm_library(L, functions);
    router_for(vm_of(L)->generation, NULL);
    return 1;
}
