/*
 * moonloop.core.testing: the apps of a directory, loaded and served in this process without a port.
 * A connection is a socket pair: one end with the server's conn, the other with the client's pool.
 */
#include "script/lib_testing.h"

#include "base/config.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/snapshot.h"
#include "http/conn.h"
#include "http/pool.h"
#include "http/server.h"
#include "script/generation.h"
#include "script/lib_http.h"
#include "script/vm.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char apps_meta[] = "moonloop.core.testing.apps";

struct apps {
    struct config config;
    struct generations *all;
    struct http_server *server;
};

/* What `moonloop serve` has without options. */
static void set_defaults(struct config *config)
{
    config->workers = 1;
    config->threads = 1;
    config->timeout_ms = 30 * 1000;
    config->block_limit_ms = 1000;
    config->header_timeout_ms = 10 * 1000;
    config->body_timeout_ms = 30 * 1000;
    config->keepalive_ms = 75 * 1000;
    config->graceful_timeout_ms = 30 * 1000;
    config->limit_request_line = 8190;
    config->limit_request_header = 32 * 1024;
    config->limit_request_fields = 100;
    config->max_body = 1024 * 1024;
    config->max_connections = 10000;
    config->umask = -1;
}

static void close_apps(struct apps *apps)
{
    http_server_free(apps->server);
    generations_free(apps->all);
    config_deinit(&apps->config);
    *apps = (struct apps){0};
}

static int on_apps_gc(lua_State *L)
{
    close_apps(luaL_checkudata(L, 1, apps_meta));
    return 0;
}

static struct apps *push_apps(lua_State *L)
{
    struct apps *apps = lua_newuserdata(L, sizeof(*apps));
    *apps = (struct apps){0};
    if (luaL_newmetatable(L, apps_meta) != 0) {
        lua_pushcfunction(L, on_apps_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return apps;
}

static int refuse(lua_State *L, const char *reason)
{
    lua_pushnil(L);
    lua_pushstring(L, reason);
    return 2;
}

/* nil and what each app that did not load says. */
static int refuse_broken(lua_State *L, const struct generation *generation)
{
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    for (size_t i = 0; i < generation_napps(generation); i++) {
        struct app_report report = generation_app(generation, i);
        if (report.is_ok)
            continue;
        luaL_addlstring(&out, report.error.ptr, report.error.len);
        luaL_addchar(&out, '\n');
    }
    luaL_pushresult(&out);
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

static bool is_broken(const struct generation *generation)
{
    for (size_t i = 0; i < generation_napps(generation); i++)
        if (!generation_app(generation, i).is_ok)
            return true;
    return false;
}

/* open(directory, is_dev): the apps, being served; or nil and why not */
static int l_open(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct fault fault = {0};
    char path[PATH_MAX];
    const char *directory = luaL_checkstring(L, 1);
    if (realpath(directory, path) == NULL)
        return refuse(L, strerror(errno));
    struct apps *apps = push_apps(L);
    set_defaults(&apps->config);
    apps->config.apps_dir = mem_copy_text(path);
    apps->config.lua_dir = mem_copy_text(vm->lua_dir);
    apps->config.dev = lua_toboolean(L, 2);
    struct snapshot *snapshot = snapshot_read(path, &fault);
    if (snapshot == NULL)
        return refuse(L, fault.text);
    apps->all = generations_new(vm->loop, &apps->config, NULL);
    struct generation *generation = generation_build(apps->all, 1, snapshot, &fault);
    if (generation == NULL)
        return refuse(L, fault.text);
    if (is_broken(generation)) {
        int count = refuse_broken(L, generation);
        generation_free(generation);
        return count;
    }
    generation_commit(apps->all, generation);
    apps->server = http_server_new(vm->loop, &apps->config, NULL, generations_handler(apps->all));
    return 1;
}

static int open_socket(void *data)
{
    struct apps *apps = data;
    int fds[2];
    if (apps->server == NULL)
        return -ECONNREFUSED;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
        return -errno;
    conn_open(apps->server, fds[0]);
    return fds[1];
}

/* pool(apps): for moonloop.http. Keep the apps for as long. */
static int l_pool(lua_State *L)
{
    struct fault fault = {0};
    struct pool_options options = {
        .connections = 32,
        .queue = 1000,
        .idle_ms = 60 * 1000,
        .verify = true,
        .open_socket = open_socket,
        .open_data = luaL_checkudata(L, 1, apps_meta),
    };
    ENSURE(http_push_pool(L, &options, &fault) != NULL);
    return 1;
}

/* close(apps): at once, whatever they are doing */
static int l_close(lua_State *L)
{
    return on_apps_gc(L);
}

int luaopen_moonloop_core_testing(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"open", l_open}, {"pool", l_pool}, {"close", l_close}, {NULL, NULL}};
    vm_library(L, functions);
    return 1;
}
