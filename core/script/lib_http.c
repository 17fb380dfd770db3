/*
 * moonloop.core.http. A pool is userdata; so is a fetch, unless all of its answer came while its
 * beginning was waited for. It keeps its pool and the body that it sends alive. Functions that wait
 * return `true, ...` or `false, error`.
 */
#include "script/lib_http.h"

#include "base/mem.h"
#include "http/fetch.h"
#include "http/method.h"
#include "http/outgoing.h"
#include "http/pool.h"
#include "script/http_parts.h"
#include "script/task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char fetch_meta[] = "moonloop.core.http.fetch";
static const char request_meta[] = "moonloop.core.http.request";

enum wanted { WANTS_HEAD, WANTS_CHUNK, WANTS_WHOLE };

/* A fetch and what it keeps from the collector. */
struct held {
    struct fetch *fetch; /* NULL: given up */
    struct http_pool *pool;
    int body_ref;
};

struct handle {
    struct held held;
    struct fetch_op *op;          /* who waits */
    struct scope_holding holding; /* in the scope of the request of ours that it was made for */
};

struct fetch_op {
    struct op op;
    struct handle *handle; /* NULL: only this wait knows the fetch, in `held` */
    int handle_ref;        /* keeps it from the collector */
    struct held held;
    enum wanted wanted;
    bool is_complete;
};

static struct str check_str(lua_State *L, int index)
{
    struct str text;
    text.ptr = luaL_checklstring(L, index, &text.len);
    return text;
}

/* ---- results ---- */

static void push_taken_body(lua_State *L, struct fetch *fetch)
{
    size_t len = fetch->answer_body.len;
    lua_pushlstring(L, len != 0 ? fetch->answer_body.ptr : "", len);
    fetch_take_body(fetch, len);
}

/* The URL as it may be shown: without user and password. */
static void push_shown_url(lua_State *L, const struct fetch *fetch)
{
    const struct outgoing *request = fetch->request;
    struct str text = buf_str(&request->url_text), userinfo = request->url.userinfo;
    if (!request->url.has_userinfo) {
        lua_pushlstring(L, text.ptr, text.len);
        return;
    }
    const char *rest = userinfo.ptr + userinfo.len + 1;
    lua_pushlstring(L, text.ptr, (size_t)(userinfo.ptr - text.ptr));
    lua_pushlstring(L, rest, (size_t)(text.ptr + text.len - rest));
    lua_concat(L, 2);
}

static void push_failure(lua_State *L, const struct fetch *fetch)
{
    static const char *const codes[] = {"error",  "full",     "dns",       "refused", "tls",
                                        "closed", "protocol", "too_large", "timeout"};
    struct str method = method_name(fetch->request->method);
    const char *stage = fetch_stage_text(fetch->failed_stage);
    push_shown_url(L, fetch);
    lua_pushlstring(L, method.ptr, method.len);
    vm_push_error(L, codes[fetch->error], "%s %s: %s, %s", lua_tostring(L, -1), lua_tostring(L, -2),
                  fetch->reason, stage);
    lua_insert(L, -3);
    lua_setfield(L, -3, "method");
    lua_setfield(L, -2, "url");
    lua_pushstring(L, stage);
    lua_setfield(L, -2, "stage");
}

static bool is_satisfied(const struct fetch *fetch, enum wanted wanted)
{
    if (fetch_is_over(fetch))
        return true;
    return (wanted == WANTS_HEAD && (fetch->answer_head.len != 0 || fetch_has_interim(fetch))) ||
           (wanted == WANTS_CHUNK && fetch->answer_body.len != 0);
}

/* ---- handles ---- */

static void drop(struct held *held)
{
    if (held->fetch == NULL)
        return;
    fetch_free(held->fetch);
    luaL_unref(held->pool->L, LUA_REGISTRYINDEX, held->body_ref);
    http_pool_let_go(held->pool);
    held->fetch = NULL;
}

static int on_fetch_gc(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, fetch_meta);
    link_remove(&handle->holding.link);
    drop(&handle->held);
    return 0;
}

/* The request of ours is over: what it did not read of an answer nobody will. */
static void on_scope_end(struct scope_holding *holding)
{
    struct handle *handle = LIST_ENTRY(holding, struct handle, holding);
    if (handle->op == NULL && handle->held.fetch != NULL && !fetch_is_over(handle->held.fetch))
        drop(&handle->held);
}

/* A task that works for no request may well hand the answer on: the collector closes those. */
static void hold(struct task *task, struct handle *handle)
{
    struct scope *scope = task->scope;
    while (scope->parent != NULL)
        scope = scope->parent;
    if (scope->owner->owner != NULL && scope->owner->exchange != NULL)
        scope_hold(scope, &handle->holding);
}

/* The handle of what is waited for, which takes the fetch over when it is new. */
static void push_handle(lua_State *L, struct fetch_op *wait)
{
    if (wait->handle != NULL) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, wait->handle_ref);
        return;
    }
    struct handle *handle = lua_newuserdata(L, sizeof(*handle));
    *handle = (struct handle){.held = wait->held, .op = wait};
    handle->holding.on_scope_end = on_scope_end;
    link_init(&handle->holding.link);
    luaL_getmetatable(L, fetch_meta);
    lua_setmetatable(L, -2);
    wait->held.fetch = NULL;
    wait->handle = handle;
    hold(wait->op.task, handle);
}

/* ---- what a wait gives: see the functions that begin it ---- */

static int push_interim(lua_State *L, struct fetch_op *wait, struct fetch *fetch)
{
    struct str text = fetch_take_interim(fetch);
    lua_pushboolean(L, true);
    push_handle(L, wait);
    lua_pushinteger(L, 100);
    lua_pushlstring(L, text.ptr, text.len);
    return 4;
}

static int push_head(lua_State *L, struct fetch_op *wait, struct fetch *fetch)
{
    bool is_all = wait->handle == NULL && fetch_is_all_in_head(fetch);
    lua_pushboolean(L, true);
    if (is_all)
        lua_pushnil(L);
    else
        push_handle(L, wait);
    lua_pushinteger(L, fetch->message.status);
    if (fetch->stage != FETCH_DONE)
        return 3;
    push_taken_body(L, fetch);
    if (!is_all)
        return 4;
    lua_pushlstring(L, fetch->answer_head.ptr, fetch->answer_head.len);
    lua_pushnumber(L, (lua_Number)fetch->timing.first_byte / 1e6);
    lua_pushnumber(L, (lua_Number)fetch->timing.total / 1e6);
    return 7;
}

static int push_results(lua_State *L, struct fetch_op *wait, struct fetch *fetch)
{
    if (wait->wanted == WANTS_HEAD && fetch_has_interim(fetch))
        return push_interim(L, wait, fetch);
    if (fetch->stage == FETCH_FAILED) {
        lua_pushboolean(L, false);
        push_failure(L, fetch);
        return 2;
    }
    if (wait->wanted == WANTS_HEAD)
        return push_head(L, wait, fetch);
    lua_pushboolean(L, true);
    if (wait->wanted == WANTS_CHUNK && fetch->answer_body.len == 0)
        return 1;
    push_taken_body(L, fetch);
    return 2;
}

/* ---- waiting ---- */

static void release(struct op *op)
{
    struct fetch_op *wait = (struct fetch_op *)op;
    struct handle *handle = wait->handle;
    drop(&wait->held);
    if (handle != NULL) {
        handle->op = NULL;
        if (handle->held.fetch != NULL)
            handle->held.fetch->owner = NULL;
        if (!wait->is_complete) /* cancelled: its socket closes now */
            drop(&handle->held);
    }
    luaL_unref(op->task->vm->L, LUA_REGISTRYINDEX, wait->handle_ref);
    free(wait);
}

static void on_change(struct fetch *fetch)
{
    struct fetch_op *wait = fetch->owner;
    if (wait == NULL || !is_satisfied(fetch, wait->wanted))
        return;
    int count = push_results(op_state(&wait->op), wait, fetch);
    wait->is_complete = true;
    op_complete(&wait->op, count);
}

static int begin_wait(lua_State *L, const struct fetch_op *begun, struct fetch *fetch)
{
    struct fetch_op *wait = MEM_NEW(struct fetch_op);
    *wait = *begun;
    wait->op.release = release;
    wait->op.kind = pool_is_local(fetch->pool) ? WAIT_LOCAL : WAIT_REAL;
    fetch->owner = wait;
    if (wait->handle != NULL)
        wait->handle->op = wait;
    return task_wait(L, &wait->op);
}

/* The handle is at 1. */
static int wait_for(lua_State *L, struct handle *handle, enum wanted wanted)
{
    struct fetch *fetch = handle->held.fetch;
    lua_pushvalue(L, 1);
    struct fetch_op wait = {.handle = handle, .wanted = wanted};
    wait.handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (!is_satisfied(fetch, wanted))
        return begin_wait(L, &wait, fetch);
    int count = push_results(L, &wait, fetch);
    luaL_unref(L, LUA_REGISTRYINDEX, wait.handle_ref);
    return count;
}

/* ---- fetches ---- */

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
        is_good = outgoing_add(request, name, value, reason);
        lua_pop(L, 2);
    }
    return is_good;
}

/* NULL and the reason: it cannot be sent. */
static struct outgoing *make_request(lua_State *L, int fields_index, struct str method,
                                     struct str url, const char **reason)
{
    struct outgoing *request = outgoing_new(method, url, reason);
    if (request != NULL && !add_headers(L, fields_index, request, reason)) {
        outgoing_unref(request);
        return NULL;
    }
    if (request != NULL)
        outgoing_end(request);
    return request;
}

static int on_request_gc(lua_State *L)
{
    struct outgoing **request = luaL_checkudata(L, 1, request_meta);
    outgoing_unref(*request);
    *request = NULL;
    return 0;
}

/* request(method, url, { name, value, ... }): what can be sent many times; or nil and why it cannot
 * be sent */
static int l_request(lua_State *L)
{
    const char *reason = NULL;
    struct str method = check_str(L, 1), url = check_str(L, 2);
    luaL_checktype(L, 3, LUA_TTABLE);
    struct outgoing **place = lua_newuserdata(L, sizeof(*place));
    *place = make_request(L, 3, method, url, &reason);
    if (*place == NULL) {
        lua_pushnil(L);
        lua_pushstring(L, reason);
        return 2;
    }
    luaL_getmetatable(L, request_meta);
    lua_setmetatable(L, -2);
    return 1;
}

/* Sends the request, whose reference it takes, and waits for the head. The pool is at 1. */
static int fetch_it(lua_State *L, struct http_pool *pool, struct outgoing *request, int body_index,
                    lua_Number timeout, bool wants_interim)
{
    struct str body = {0};
    struct fetch_op wait = {.wanted = WANTS_HEAD, .handle_ref = LUA_NOREF};
    struct fetch *fetch = fetch_new(pool->pool, request, on_change, NULL);
    outgoing_unref(request);
    wait.held = (struct held){fetch, pool, LUA_NOREF};
    http_pool_hold(L, 1, pool);
    if (body_index != 0) {
        body.ptr = lua_tolstring(L, body_index, &body.len);
        lua_pushvalue(L, body_index);
        wait.held.body_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    fetch->wants_interim = wants_interim;
    fetch_start(fetch, body, (uint64_t)ceil(timeout * 1000));
    if (!fetch_is_over(fetch))
        return begin_wait(L, &wait, fetch);
    int count = push_results(L, &wait, fetch);
    drop(&wait.held);
    return count;
}

static lua_Number check_timeout(lua_State *L, int index)
{
    lua_Number timeout = luaL_checknumber(L, index);
    luaL_argcheck(L, timeout >= 0 && timeout < 1e9, index, "expected seconds");
    return timeout;
}

/* fetch(pool, method, url, { name, value, ... }, body or nil, timeout in seconds, 0: none, whether
 * interim answers are wanted)
 * Waits for the head: true, fetch, status and, when it is there, the whole body; or true, nil,
 * status, body, head, seconds to the first byte and to the end, when that is all; or true, fetch,
 * 100 and interim answers (call head for more); or false, error. What cannot be sent: nil and why.
 */
static int l_fetch(lua_State *L)
{
    const char *reason = NULL;
    task_check(L);
    struct http_pool *pool = http_check_pool(L, 1);
    struct str method = check_str(L, 2), url = check_str(L, 3);
    luaL_checktype(L, 4, LUA_TTABLE);
    bool has_body = !lua_isnil(L, 5);
    if (has_body)
        check_str(L, 5);
    lua_Number timeout = check_timeout(L, 6);
    struct outgoing *request = make_request(L, 4, method, url, &reason);
    if (request == NULL) {
        lua_pushnil(L);
        lua_pushstring(L, reason);
        return 2;
    }
    return fetch_it(L, pool, request, has_body ? 5 : 0, timeout, lua_toboolean(L, 7));
}

/* send(pool, request, timeout in seconds, 0: none): fetches what request() has made */
static int l_send(lua_State *L)
{
    task_check(L);
    struct http_pool *pool = http_check_pool(L, 1);
    struct outgoing **request = luaL_checkudata(L, 2, request_meta);
    lua_Number timeout = check_timeout(L, 3);
    return fetch_it(L, pool, outgoing_ref(*request), 0, timeout, false);
}

/* The handle of an answer that can be read from; raises otherwise. */
static struct handle *check_handle(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, fetch_meta);
    if (handle->held.fetch == NULL) {
        vm_push_error(L, "closed", "the answer was given up and cannot be read any more");
        lua_error(L);
    }
    if (handle->op != NULL) {
        vm_push_error(L, "misuse", "another task reads this answer");
        lua_error(L);
    }
    return handle;
}

const struct fetch *http_check_answer(lua_State *L)
{
    return check_handle(L)->held.fetch;
}

/* head(fetch): waits as fetch does */
static int l_head(lua_State *L)
{
    struct handle *handle = check_handle(L);
    if (!is_satisfied(handle->held.fetch, WANTS_HEAD))
        task_check(L);
    return wait_for(L, handle, WANTS_HEAD);
}

/* chunk(fetch): waits; true and bytes, or true alone at the end; or false, error */
static int l_chunk(lua_State *L)
{
    struct handle *handle = check_handle(L);
    if (!is_satisfied(handle->held.fetch, WANTS_CHUNK))
        task_check(L);
    return wait_for(L, handle, WANTS_CHUNK);
}

/* body(fetch, most bytes): waits; true and the rest of the body; or false, error */
static int l_body(lua_State *L)
{
    struct handle *handle = check_handle(L);
    lua_Number most = luaL_checknumber(L, 2);
    luaL_argcheck(L, most >= 1 && most <= 9e15, 2, "expected bytes");
    if (!fetch_is_over(handle->held.fetch))
        task_check(L);
    fetch_want_whole(handle->held.fetch, (uint64_t)most);
    return wait_for(L, handle, WANTS_WHOLE);
}

/* close(fetch): gives it up */
static int l_close(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, fetch_meta);
    if (handle->op == NULL)
        on_fetch_gc(L);
    return 0;
}

static void make_meta(lua_State *L, const char *name, lua_CFunction on_gc)
{
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, on_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

int luaopen_moonloop_core_http(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"request", l_request}, {"send", l_send}, {"fetch", l_fetch}, {"head", l_head},
        {"chunk", l_chunk},     {"body", l_body}, {"close", l_close}, {NULL, NULL}};
    make_meta(L, fetch_meta, on_fetch_gc);
    make_meta(L, request_meta, on_request_gc);
    vm_library(L, functions);
    http_add_pool_functions(L);
    http_add_answer_functions(L);
    http_add_url_functions(L);
    return 1;
}
