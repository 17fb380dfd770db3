/*
 * moonloop.core.testing: what lua/moonloop/testing.lua builds its client from. A host is what a
 * worker has (generations, an HTTP server) on the loop of the spec's own VM. A connection to it is
 * a socket pair: one end with the server's conn, the other with the pool of an HTTP client. So
 * specs go the same way as requests do.
 *
 * A host lives as long as its userdata, or until it is closed.
 */
#include "script/lib_testing.h"

#include "base/config.h"
#include "base/mem.h"
#include "base/snapshot.h"
#include "http/conn.h"
#include "http/pool.h"
#include "http/server.h"
#include "script/generation.h"
#include "script/lib_http.h"
#include "script/topics.h"
#include "script/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define HOST_NAME "moonloop.testing.Host"

struct host {
    struct config config;
    struct generations *generations;
    struct http_server *server;
};

static int l_host_gc(lua_State *L)
{
    struct host *host = luaL_checkudata(L, 1, HOST_NAME);
    if (host->server != NULL)
        http_server_free(host->server);
    if (host->generations != NULL)
        generations_free(host->generations);
    host->server = NULL;
    host->generations = NULL;
    config_deinit(&host->config);
    return 0;
}

static uint64_t number_field(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    double number = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return (uint64_t)number;
}

static char *text_field(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    char *text = mem_copy_text(luaL_checkstring(L, -1));
    lua_pop(L, 1);
    return text;
}

/* From the settled options at index 1: seconds, bytes and paths as cli/config.lua gives them. */
static void read_config(lua_State *L, struct config *config)
{
    config->apps_dir = text_field(L, "apps_dir");
    config->lua_dir = mem_copy_text(VM_UPVALUE(L)->lua_dir);
    config->forwarded_allow_ips = text_field(L, "forwarded_allow_ips");
    config->workers = config->threads = 1;
    config->timeout_ms = (uint32_t)(number_field(L, "timeout") * 1000);
    config->header_timeout_ms = (uint32_t)(number_field(L, "header_timeout") * 1000);
    config->body_timeout_ms = (uint32_t)(number_field(L, "body_timeout") * 1000);
    config->send_timeout_ms = (uint32_t)(number_field(L, "send_timeout") * 1000);
    config->min_body_rate = (uint32_t)number_field(L, "min_body_rate");
    config->min_send_rate = (uint32_t)number_field(L, "min_send_rate");
    config->keepalive_requests = (uint32_t)number_field(L, "keepalive_requests");
    config->keepalive_ms = (uint32_t)(number_field(L, "keepalive") * 1000);
    config->limit_request_line = (uint32_t)number_field(L, "limit_request_line");
    config->limit_request_header = (uint32_t)number_field(L, "limit_request_header");
    config->limit_request_fields = (uint32_t)number_field(L, "limit_request_fields");
    config->max_connections = (uint32_t)number_field(L, "max_connections");
    config->max_body = number_field(L, "max_body");
    config->umask = -1;
}

/* Every app that does not load, as one text; "" when all do. */
static void push_failures(lua_State *L, const struct generation *generation)
{
    luaL_Buffer text;
    bool is_any = false;
    luaL_buffinit(L, &text);
    for (size_t i = 0; i < generation_napps(generation); i++) {
        struct app_report report = generation_app(generation, i);
        if (report.is_ok)
            continue;
        if (is_any)
            luaL_addchar(&text, '\n');
        luaL_addlstring(&text, report.error.ptr, report.error.len);
        is_any = true;
    }
    luaL_pushresult(&text);
}

/* open(options) -> host, failures: the apps of options.apps_dir, served. Raises when none can be.
 */
static int l_open(lua_State *L)
{
    struct fault fault = {0};
    struct vm *vm = VM_UPVALUE(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    struct host *host = lua_newuserdata(L, sizeof(*host));
    *host = (struct host){0};
    luaL_getmetatable(L, HOST_NAME);
    lua_setmetatable(L, -2);
    read_config(L, &host->config);
    host->generations = generations_new(vm->loop, &host->config, NULL);
    generations_use_topics(host->generations, topics_of(vm));
    struct snapshot *snapshot = snapshot_read(host->config.apps_dir, &fault);
    struct generation *generation =
        snapshot != NULL ? generation_build(host->generations, 1, snapshot, &fault) : NULL;
    if (generation == NULL)
        return luaL_error(L, "%s", fault.text);
    push_failures(L, generation);
    generation_commit(host->generations, generation);
    host->server =
        http_server_new(vm->loop, &host->config, NULL, generations_handler(host->generations));
    return 2;
}

static int open_socket(void *data)
{
    struct host *host = data;
    int fds[2];
    if (host->server == NULL)
        return -ECONNREFUSED;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
        return -errno;
    conn_open(host->server, fds[0], HTTP_SERVES_PLAIN);
    return fds[1];
}

/* pool(host): for moonloop.http. Keep the host for as long. */
static int l_pool(lua_State *L)
{
    struct fault fault = {0};
    struct pool_options options = {
        .connections = 32,
        .queue = 1000,
        .idle_ms = 60000,
        .verify = true,
        .open_socket = open_socket,
        .open_data = luaL_checkudata(L, 1, HOST_NAME),
    };
    ENSURE(http_push_pool(L, &options, &fault) != NULL);
    return 1;
}

int luaopen_moonloop_core_testing(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"open", l_open}, {"pool", l_pool}, {"close", l_host_gc}, {NULL, NULL}};
    luaL_newmetatable(L, HOST_NAME);
    lua_pushcfunction(L, l_host_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    vm_library(L, functions);
    return 1;
}
