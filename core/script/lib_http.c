/*
 * moonloop.core.http: how requests are made and sent. A pool and a request that is sent many times
 * are userdata; so is a fetch that goes on after its first wait, see http_wait.c. It keeps its pool
 * and the body that it sends alive. Functions that wait return `true, ...` or `false, error`.
 */
#include "script/lib_http.h"

#include "http/fetch.h"
#include "http/outgoing.h"
#include "http/upload.h"
#include "script/http_parts.h"
#include "script/lib_duplex.h"
#include "script/task.h"

#include <math.h>

static const char request_meta[] = "moonloop.core.http.request";

static struct str check_str(lua_State *L, int index)
{
    struct str text;
    text.ptr = luaL_checklstring(L, index, &text.len);
    return text;
}

/* ---- requests ---- */

static bool add_headers(lua_State *L, int index, struct outgoing *request, const char **reason)
{
    int count = (int)lua_objlen(L, index);
    bool is_good = true;
    for (int i = 1; i < count && is_good; i += 2) {
        struct str name, value;
        lua_rawgeti(L, index, i);
        lua_rawgeti(L, index, i + 1);
        name.ptr = lua_tolstring(L, -2, &name.len);
        value.ptr = lua_tolstring(L, -1, &value.len);
        if (name.ptr == NULL || value.ptr == NULL) {
            *reason = "a header field is not a string";
            return false;
        }
        is_good = str_equal_nocase(name, str_of("upgrade"))
                      ? outgoing_upgrade(request, value, reason)
                      : outgoing_add(request, name, value, reason);
        lua_pop(L, 2);
    }
    return is_good;
}

/* The arguments method, url, fields at `index` and on, and a proxy or nil; NULL, and nil and the
 * reason on top, when it cannot be sent. */
static struct outgoing *make_request(lua_State *L, int index, int proxy_index)
{
    const char *reason = NULL;
    struct str proxy = {0};
    if (!lua_isnoneornil(L, proxy_index))
        proxy = check_str(L, proxy_index);
    struct str method = check_str(L, index), url = check_str(L, index + 1);
    luaL_checktype(L, index + 2, LUA_TTABLE);
    struct outgoing *request = outgoing_new(method, url, proxy, &reason);
    if (request != NULL && add_headers(L, index + 2, request, &reason)) {
        outgoing_end(request);
        return request;
    }
    outgoing_unref(request);
    lua_pushnil(L);
    lua_pushstring(L, reason);
    return NULL;
}

static int on_request_gc(lua_State *L)
{
    struct outgoing **request = luaL_checkudata(L, 1, request_meta);
    vm_forget(vm_of(L), request);
    outgoing_unref(*request);
    *request = NULL;
    return 0;
}

/* prepare(method, url, { name, value, ... }, URL of a proxy or nil): a request that can be sent
 * many times; or nil and why it cannot be sent */
static int l_prepare(lua_State *L)
{
    task_holds(L);
    struct outgoing *request = make_request(L, 1, 4);
    if (request == NULL)
        return task_goes_on(L, 2);
    struct outgoing **place = lua_newuserdata(L, sizeof(*place));
    *place = request;
    luaL_getmetatable(L, request_meta);
    lua_setmetatable(L, -2);
    return task_goes_on(L, 1);
}

/* ---- fetches ---- */

/* Of the pool at 1; takes over the reference to the request. What is at `body_index`, if not 0, is
 * kept alive. */
static struct held hold_fetch(lua_State *L, struct http_pool *pool, struct outgoing *request,
                              int body_index)
{
    struct held held = {.pool = pool, .body_ref = LUA_NOREF};
    held.fetch = fetch_new(pool->pool, request);
    outgoing_unref(request);
    http_pool_hold(L, 1, pool);
    if (body_index != 0) {
        lua_pushvalue(L, body_index);
        held.body_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    return held;
}

static uint64_t check_timeout_ms(lua_State *L, int index)
{
    lua_Number timeout = luaL_checknumber(L, index);
    luaL_argcheck(L, timeout >= 0 && timeout < 1e9, index, "expected seconds");
    return (uint64_t)ceil(timeout * 1000);
}

/* fetch(pool, method, url, { name, value, ... }, body or nil, timeout in seconds, 0: none, whether
 * interim answers are wanted, URL of a proxy or nil)
 * Waits for the head: true, fetch, status and, when it is there, the whole body; or true, nil,
 * status, body, head, seconds to the first byte and to the end, when that is all; or true, fetch,
 * 100 and interim answers (call head for more); or false, error. What cannot be sent: nil and why.
 */
static int l_fetch(lua_State *L)
{
    struct str body = {0};
    struct vm *vm = task_check(L);
    struct http_pool *pool = http_check_pool(vm, L, 1);
    if (!lua_isnil(L, 5))
        body = check_str(L, 5);
    uint64_t timeout_ms = check_timeout_ms(L, 6);
    struct outgoing *request = make_request(L, 2, 8);
    if (request == NULL)
        return task_goes_on(L, 2);
    struct held held = hold_fetch(L, pool, request, body.ptr != NULL ? 5 : 0);
    held.fetch->wants_interim = lua_toboolean(L, 7);
    fetch_start(held.fetch, body, timeout_ms);
    return http_wait_for_head(L, &held);
}

/* fetch_prepared(pool, request, timeout in seconds, 0: none): the same for what prepare has made */
static int l_fetch_prepared(lua_State *L)
{
    struct vm *vm = task_check(L);
    struct http_pool *pool = http_check_pool(vm, L, 1);
    struct outgoing **request = vm_check_known(vm, L, 2, vm->http_request_meta, request_meta);
    uint64_t timeout_ms = check_timeout_ms(L, 3);
    struct held held = hold_fetch(L, pool, outgoing_ref(*request), 0);
    fetch_start(held.fetch, (struct str){0}, timeout_ms);
    return http_wait_for_head(L, &held);
}

/* open(pool, method, url, fields, body, timeout, whether interim answers are wanted, seconds, URL
 * of a proxy or nil)
 * Begins as fetch does and waits for nothing: the fetch, or nil and why. A number for a body: so
 * many bytes come in pieces, see feed; -1 for as many as there are. The body waits so many seconds
 * for the server to ask for it; 0: not at all. */
static int l_open(lua_State *L)
{
    struct str body = {0};
    struct vm *vm = task_check(L);
    struct http_pool *pool = http_check_pool(vm, L, 1);
    bool is_stream = lua_type(L, 5) == LUA_TNUMBER;
    lua_Number length = lua_tonumber(L, 5);
    if (!is_stream && !lua_isnil(L, 5))
        body = check_str(L, 5);
    luaL_argcheck(L, !is_stream || (length >= -1 && length <= 9e15), 5, "expected bytes");
    uint64_t timeout_ms = check_timeout_ms(L, 6), expect_ms = check_timeout_ms(L, 8);
    struct outgoing *request = make_request(L, 2, 9);
    if (request == NULL)
        return task_goes_on(L, 2);
    struct held held = hold_fetch(L, pool, request, body.ptr != NULL ? 5 : 0);
    http_push_handle(L, &held, vm->current);
    held.fetch->wants_interim = lua_toboolean(L, 7);
    if (is_stream)
        upload_stream(held.fetch, length < 0 ? UPLOAD_CHUNKED : (uint64_t)length);
    if (expect_ms != 0)
        upload_expect(held.fetch, expect_ms);
    fetch_start(held.fetch, body, timeout_ms);
    return task_goes_on(L, 1);
}

int luaopen_moonloop_core_http(lua_State *L)
{
    static const luaL_Reg functions[] = {{"prepare", l_prepare},
                                         {"fetch", l_fetch},
                                         {"fetch_prepared", l_fetch_prepared},
                                         {"open", l_open},
                                         {NULL, NULL}};
    vm_of(L)->http_request_meta = vm_new_metatable(L, request_meta, on_request_gc);
    vm_library(L, functions);
    http_add_pool_functions(L);
    http_add_wait_functions(L);
    http_add_answer_functions(L);
    http_add_save_functions(L);
    http_add_upload_functions(L);
    http_add_url_functions(L);
    http_add_name_functions(L);
    return 1;
}
