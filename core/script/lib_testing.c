/*
 * moonloop.core.testing: what lua/moonloop/testing.lua builds its client from. A host is what a
 * worker has (generations, an HTTP server) on the loop of the spec's own VM, behind an abstract
 * Unix socket that nobody else knows; a call is one connection to it. So specs go the same way as
 * requests do.
 *
 * A host lives as long as its userdata, a call until its answer has come or its task was cancelled.
 */
#include "script/lib_testing.h"

#include "base/buf.h"
#include "base/config.h"
#include "base/mem.h"
#include "base/snapshot.h"
#include "http/server.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "script/generation.h"
#include "script/task.h"
#include "script/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HOST_NAME "moonloop.testing.Host"

struct host {
    struct config config;
    struct generations *generations;
    struct http_server *server;
    int listen_fd;
    struct sockaddr_un address;
    socklen_t address_len;
};

static int l_host_gc(lua_State *L)
{
    struct host *host = luaL_checkudata(L, 1, HOST_NAME);
    if (host->server != NULL)
        http_server_free(host->server);
    if (host->generations != NULL)
        generations_free(host->generations);
    if (host->listen_fd >= 0)
        close(host->listen_fd);
    host->server = NULL;
    host->generations = NULL;
    host->listen_fd = -1;
    config_deinit(&host->config);
    return 0;
}

/* A socket with a name of the kernel's choice. 0 or -errno. */
static int listen_anywhere(struct host *host)
{
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    host->address_len = sizeof(host->address);
    host->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (host->listen_fd < 0 ||
        bind(host->listen_fd, (struct sockaddr *)&any, sizeof(any.sun_family)) != 0 ||
        listen(host->listen_fd, SOMAXCONN) != 0 ||
        getsockname(host->listen_fd, (struct sockaddr *)&host->address, &host->address_len) != 0)
        return -errno;
    return http_server_listen(host->server, host->listen_fd);
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
    *host = (struct host){.listen_fd = -1};
    luaL_getmetatable(L, HOST_NAME);
    lua_setmetatable(L, -2);
    read_config(L, &host->config);
    host->generations = generations_new(vm->loop, &host->config, NULL);
    struct snapshot *snapshot = snapshot_read(host->config.apps_dir, &fault);
    struct generation *generation =
        snapshot != NULL ? generation_build(host->generations, 1, snapshot, &fault) : NULL;
    if (generation == NULL)
        return luaL_error(L, "%s", fault.text);
    push_failures(L, generation);
    generation_commit(host->generations, generation);
    host->server =
        http_server_new(vm->loop, &host->config, NULL, generations_handler(host->generations));
    int status = listen_anywhere(host);
    if (status != 0)
        return luaL_error(L, "cannot listen: %s", strerror(-status));
    return 2;
}

struct call {
    struct op op;
    struct stream *stream;
    struct buf answer;
    bool is_over; /* the task is not waiting any more */
};

static void on_close(void *owner)
{
    struct call *call = owner;
    buf_deinit(&call->answer);
    free(call);
}

/* The memory goes when the stream is gone. */
static void release(struct op *op)
{
    struct call *call = (struct call *)op;
    call->is_over = true;
    stream_close(call->stream);
}

static void on_read(void *owner, char *bytes, ssize_t nread)
{
    struct call *call = owner;
    if (call->is_over)
        return;
    if (nread > 0) {
        buf_add(&call->answer, bytes, (size_t)nread);
        return;
    }
    lua_State *L = op_state(&call->op);
    lua_pushboolean(L, true);
    lua_pushlstring(L, call->answer.ptr != NULL ? call->answer.ptr : "", call->answer.len);
    op_complete(&call->op, 2);
}

static const struct stream_events call_events = {.on_read = on_read, .on_close = on_close};

/* call(host, bytes) -> true, everything that came back until the server closed. Waits. */
static int l_call(lua_State *L)
{
    struct vm *vm = task_check(L);
    struct host *host = luaL_checkudata(L, 1, HOST_NAME);
    struct str request;
    request.ptr = luaL_checklstring(L, 2, &request.len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&host->address, host->address_len) != 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return luaL_error(L, "cannot call the apps: %s", strerror(error));
    }
    struct call *call = MEM_NEW(struct call);
    call->op.release = release;
    call->stream = stream_open(vm->loop, fd, &call_events, call);
    if (call->stream == NULL) {
        free(call);
        return luaL_error(L, "cannot call the apps: no stream");
    }
    stream_read_start(call->stream);
    stream_write(call->stream, &request, 1); /* a failure shows in what is read */
    return task_wait(L, &call->op);
}

int luaopen_moonloop_core_testing(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", l_open}, {"call", l_call}, {NULL, NULL}};
    luaL_newmetatable(L, HOST_NAME);
    lua_pushcfunction(L, l_host_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    vm_library(L, functions);
    return 1;
}
