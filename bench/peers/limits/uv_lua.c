/*
 * uv_lua.c - libuv and llhttp with one LuaJIT call per request: the limit for a Lua server.
 *
 * No router, no request object, no error page: C cuts the strings that the work needs out of the
 * request and passes them to a function of works.lua, which returns the body. The work `sleep` runs
 * in a coroutine that its connection keeps, and a uv_timer resumes it.
 *
 *     limit-lua PORT WORK works.lua
 */
#include "answer.h"
#include "uv_server.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLEEP_MS = 50, HANDLER_INDEX = 1, WAIT_INDEX = 2 };

static lua_State *lua;
static const char *before = ANSWER_BEFORE(ANSWER_JSON);
static size_t before_len = sizeof(ANSWER_BEFORE(ANSWER_JSON)) - 1;

static void die(const char *step, const char *reason)
{
    fprintf(stderr, "limit-lua: %s: %s\n", step, reason);
    exit(1);
}

/* Appends the answer whose body is on top of L, and pops it. */
static void append_answer(struct conn *conn, lua_State *L)
{
    size_t len;
    const char *body = lua_tolstring(L, -1, &len);
    char digits[20];
    char *first = digits + sizeof(digits);
    size_t rest = len;
    do
        *--first = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    conn_append(conn, before, before_len);
    conn_append(conn, first, (size_t)(digits + sizeof(digits) - first));
    conn_append(conn, ANSWER_AFTER, sizeof(ANSWER_AFTER) - 1);
    conn_append(conn, body, len);
    lua_pop(L, 1);
}

static void call(struct conn *conn, int nargs)
{
    if (lua_pcall(lua, nargs, 1, 0) != 0)
        die("handler", lua_tostring(lua, -1));
    append_answer(conn, lua);
}

static void answer_plain(struct conn *conn)
{
    lua_pushvalue(lua, HANDLER_INDEX);
    call(conn, 0);
}

static void answer_post(struct conn *conn)
{
    lua_pushvalue(lua, HANDLER_INDEX);
    lua_pushlstring(lua, conn->body, conn->body_len);
    call(conn, 1);
}

/* Pushes what lies between `at` and the next `stop`; returns where to go on. */
static const char *push_until(const char *at, const char *end, char stop)
{
    const char *found = memchr(at, stop, (size_t)(end - at));
    const char *last = found ? found : end;
    lua_pushlstring(lua, at, (size_t)(last - at));
    return found ? found + 1 : end;
}

/* /users/ID/posts/SLUG?q=VALUE */
static void answer_params(struct conn *conn)
{
    static const char USERS[] = "/users/", POSTS[] = "posts/", Q[] = "q=";
    const char *end = conn->url + conn->url_len;
    if (conn->url_len < 32)
        die("url", "too short");
    lua_pushvalue(lua, HANDLER_INDEX);
    const char *at = push_until(conn->url + sizeof(USERS) - 1, end, '/');
    at = push_until(at + sizeof(POSTS) - 1, end, '?');
    push_until(at + sizeof(Q) - 1, end, '&');
    lua_pushlstring(lua, conn->client, conn->client_len);
    call(conn, 4);
}

/* Runs the connection's coroutine until it waits, or has returned the body. */
static void resume(struct conn *conn, int nargs)
{
    lua_State *co = conn->data;
    int status = lua_resume(co, nargs);
    if (status == LUA_YIELD)
        return;
    if (status != 0)
        die("handler", lua_tostring(co, -1));
    append_answer(conn, co);
}

static void on_due(uv_timer_t *timer)
{
    resume(timer->data, 0);
    conn_flush(timer->data);
}

static int l_wait(lua_State *co)
{
    struct conn *conn = lua_touserdata(co, lua_upvalueindex(1));
    uv_timer_start(&conn->timer, on_due, SLEEP_MS, 0);
    return lua_yield(co, 0);
}

/* The connection's coroutine and its wait function stay in the registry under its address. */
static void on_open(struct conn *conn)
{
    lua_pushlightuserdata(lua, conn);
    lua_createtable(lua, WAIT_INDEX, 0);
    conn->data = lua_newthread(lua);
    lua_rawseti(lua, -2, HANDLER_INDEX);
    lua_pushlightuserdata(lua, conn);
    lua_pushcclosure(lua, l_wait, 1);
    lua_pushvalue(lua, -1);
    lua_rawseti(lua, -3, WAIT_INDEX);
    lua_xmove(lua, conn->data, 1); /* stays at the bottom of the coroutine's stack */
    lua_rawset(lua, LUA_REGISTRYINDEX);
}

static void on_close(struct conn *conn)
{
    lua_pushlightuserdata(lua, conn);
    lua_pushnil(lua);
    lua_rawset(lua, LUA_REGISTRYINDEX);
}

static void answer_sleep(struct conn *conn)
{
    lua_State *co = conn->data;
    lua_pushvalue(lua, HANDLER_INDEX);
    lua_xmove(lua, co, 1);
    lua_pushvalue(co, 1);
    resume(conn, 1);
}

static void load_handler(const char *file, const char *work)
{
    lua = luaL_newstate();
    luaL_openlibs(lua);
    if (luaL_loadfile(lua, file) != 0 || lua_pcall(lua, 0, 1, 0) != 0)
        die(file, lua_tostring(lua, -1));
    lua_getfield(lua, -1, work);
    lua_remove(lua, 1);
    if (!lua_isfunction(lua, HANDLER_INDEX))
        die(work, "no such work");
}

int main(int argc, char **argv)
{
    if (argc != 4)
        die("usage", "limit-lua PORT WORK works.lua");
    const char *work = argv[2];
    load_handler(argv[3], work);
    struct server_settings settings = {.port = atoi(argv[1]), .answer = answer_plain};
    if (strcmp(work, "hello") == 0 || strcmp(work, "sleep") == 0) {
        before = ANSWER_BEFORE(ANSWER_TEXT);
        before_len = sizeof(ANSWER_BEFORE(ANSWER_TEXT)) - 1;
    }
    if (strcmp(work, "post") == 0)
        settings.answer = answer_post;
    if (strcmp(work, "params") == 0)
        settings.answer = answer_params;
    settings.keeps_request = settings.answer != answer_plain;
    if (strcmp(work, "sleep") == 0) {
        settings.answer = answer_sleep;
        settings.on_open = on_open;
        settings.on_close = on_close;
    }
    die("listen", uv_strerror(server_run(uv_default_loop(), &settings)));
}
