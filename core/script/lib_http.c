/*
 * moonloop.core.http. A pool and a fetch are userdata; a fetch keeps its pool and the body that it
 * sends alive. Functions that wait return `true, ...` or `false, error`.
 */
#include "script/lib_http.h"

#include "base/mem.h"
#include "http/fetch.h"
#include "http/method.h"
#include "http/pool.h"
#include "http/proxy.h"
#include "http/upload.h"
#include "script/http_parts.h"
#include "script/lib_duplex.h"
#include "script/task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum wanted { WANTS_HEAD, WANTS_CHUNK, WANTS_WHOLE };

struct fetch_op {
    struct op op;
    struct handle *handle;
    int handle_ref; /* keeps it from the collector */
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
    if (fetch->stage == FETCH_DONE && fetch->answer_body.len == 0)
        buf_deinit(&fetch->answer_body);
}

/* The URL as it may be shown: without user and password. */
static void push_shown_url(lua_State *L, const struct fetch *fetch)
{
    struct str text = buf_str(&fetch->url_text), userinfo = fetch->url.userinfo;
    if (!fetch->url.has_userinfo) {
        lua_pushlstring(L, text.ptr, text.len);
        return;
    }
    const char *rest = userinfo.ptr + userinfo.len + 1;
    lua_pushlstring(L, text.ptr, (size_t)(userinfo.ptr - text.ptr));
    lua_pushlstring(L, rest, (size_t)(text.ptr + text.len - rest));
    lua_concat(L, 2);
}

void http_push_failure(lua_State *L, const struct handle *handle)
{
    const struct fetch *fetch = handle->fetch;
    if (http_upload_push_failure(L, handle))
        return;
    static const char *const codes[] = {"error",  "full",     "dns",       "refused", "tls",
                                        "closed", "protocol", "too_large", "timeout", "body"};
    struct str method = method_name(fetch->method);
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
    http_push_timing(L, fetch);
    lua_setfield(L, -2, "timing");
    if (fetch->proxy != NULL) {
        lua_pushstring(L, fetch->proxy->name);
        lua_setfield(L, -2, "proxy");
    }
}

static bool is_satisfied(const struct fetch *fetch, enum wanted wanted)
{
    if (fetch_is_over(fetch))
        return true;
    return (wanted == WANTS_HEAD && (fetch->answer_head.len != 0 || fetch_has_interim(fetch))) ||
           (wanted == WANTS_CHUNK && fetch->answer_body.len != 0) ||
           (wanted == WANTS_WHOLE && fetch_has_progress(fetch));
}

/* What the wait gives: see the functions that begin it. */
static int push_results(lua_State *L, struct handle *handle, enum wanted wanted, int handle_ref)
{
    struct fetch *fetch = handle->fetch;
    bool is_failed = fetch->stage == FETCH_FAILED;
    if (wanted == WANTS_HEAD && fetch_has_interim(fetch)) {
        struct str text = fetch_take_interim(fetch);
        lua_pushboolean(L, true);
        lua_rawgeti(L, LUA_REGISTRYINDEX, handle_ref);
        lua_pushinteger(L, 100);
        lua_pushlstring(L, text.ptr, text.len);
        return 4;
    }
    lua_pushboolean(L, !is_failed);
    if (is_failed) {
        http_push_failure(L, handle);
        return 2;
    }
    if (wanted == WANTS_HEAD) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, handle_ref);
        lua_pushinteger(L, fetch->message.status);
        if (fetch->stage != FETCH_DONE)
            return 3;
        push_taken_body(L, fetch);
        return 4;
    }
    if ((wanted == WANTS_CHUNK && fetch->answer_body.len == 0) ||
        (wanted == WANTS_WHOLE && !fetch_is_over(fetch)))
        return 1;
    push_taken_body(L, fetch);
    return 2;
}

/* ---- waiting ---- */

void http_give_up(struct handle *handle)
{
    http_upload_stop(handle);
    http_save_stop(handle);
    fetch_free(handle->fetch);
    handle->fetch = NULL;
}

static void release(struct op *op)
{
    struct fetch_op *wait = (struct fetch_op *)op;
    struct handle *handle = wait->handle;
    handle->op = NULL;
    if (!wait->is_complete) /* cancelled: its socket closes now */
        http_give_up(handle);
    luaL_unref(op->task->vm->L, LUA_REGISTRYINDEX, wait->handle_ref);
    free(wait);
}

void http_tell_reader(struct handle *handle)
{
    struct fetch_op *wait = handle->op;
    if (handle->saving != NULL)
        http_save_changed(handle);
    if (wait == NULL || !is_satisfied(handle->fetch, wait->wanted))
        return;
    int count = push_results(op_state(&wait->op), handle, wait->wanted, wait->handle_ref);
    wait->is_complete = true;
    op_complete(&wait->op, count);
}

static void on_change(struct fetch *fetch)
{
    struct handle *handle = fetch->owner;
    if (handle->feeding == NULL) {
        http_tell_reader(handle);
        return;
    }
    lua_State *L = http_upload_hold(handle);
    http_upload_changed(handle);
    http_tell_reader(handle);
    lua_pop(L, 1);
}

/* The fetch is at `index`. */
static int wait_for(lua_State *L, int index, struct handle *handle, enum wanted wanted)
{
    lua_pushvalue(L, index);
    int handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (is_satisfied(handle->fetch, wanted)) {
        if (handle->feeding != NULL && upload_is_unwanted(handle->fetch))
            http_upload_stop(handle);
        int count = push_results(L, handle, wanted, handle_ref);
        luaL_unref(L, LUA_REGISTRYINDEX, handle_ref);
        return count;
    }
    struct fetch_op *wait = MEM_NEW(struct fetch_op);
    wait->op.release = release;
    wait->op.kind = pool_is_local(handle->fetch->pool) ? WAIT_LOCAL : WAIT_REAL;
    wait->handle = handle;
    wait->handle_ref = handle_ref;
    wait->wanted = wanted;
    handle->op = wait;
    return task_wait(L, &wait->op);
}

/* ---- fetches ---- */

static int on_fetch_gc(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, HTTP_FETCH_META);
    link_remove(&handle->holding.link);
    http_save_stop(handle);
    fetch_free(handle->fetch);
    handle->fetch = NULL;
    http_upload_free(L, handle);
    return 0;
}

/* The request of ours is over: what it did not read of an answer nobody will. */
static void on_scope_end(struct scope_holding *holding)
{
    struct handle *handle = LIST_ENTRY(holding, struct handle, holding);
    const struct fetch *fetch = handle->fetch;
    if (handle->op != NULL || handle->save_op != NULL || fetch == NULL ||
        (fetch_is_over(fetch) && fetch->duplex == NULL && handle->saving == NULL))
        return;
    http_give_up(handle);
}

/* The scope that an answer ends with. NULL for a task that works for no request, which may well
 * hand the answer on: the collector closes those. */
static struct scope *scope_of(struct vm *vm)
{
    struct scope *scope = vm->current != NULL ? vm->current->scope : NULL;
    while (scope != NULL && scope->parent != NULL)
        scope = scope->parent;
    bool is_for_request =
        scope != NULL && scope->owner->owner != NULL && scope->owner->exchange != NULL;
    return is_for_request ? scope : NULL;
}

/* A handle at the top of the stack, keeping the pool at 1 and the body at 5 alive. */
static struct handle *push_handle(lua_State *L)
{
    struct handle *handle = lua_newuserdata(L, sizeof(*handle));
    *handle = (struct handle){.holding = {.on_scope_end = on_scope_end}};
    link_init(&handle->holding.link);
    if (luaL_newmetatable(L, HTTP_FETCH_META) != 0) {
        lua_pushcfunction(L, on_fetch_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, 5);
    lua_rawseti(L, -2, HTTP_BODY_PLACE);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, HTTP_POOL_PLACE);
    lua_setfenv(L, -2);
    return handle;
}

static bool add_headers(lua_State *L, int index, struct fetch *fetch, const char **reason)
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
                      ? fetch_upgrade(fetch, value, reason)
                      : fetch_header(fetch, name, value, reason);
        lua_pop(L, 2);
    }
    return is_good;
}

/* The arguments of fetch at 1 to 4, 7 and `proxy_index` as a fetch that can be started, its handle
 * on top; NULL, and nil and the reason on top, when it cannot be sent. */
static struct handle *prepare(lua_State *L, struct vm *vm, int proxy_index)
{
    const char *reason = NULL;
    struct str proxy = {0};
    struct pool *pool = http_check_pool(L, 1);
    struct str method = check_str(L, 2), url = check_str(L, 3);
    luaL_checktype(L, 4, LUA_TTABLE);
    bool wants_interim = lua_toboolean(L, 7);
    if (!lua_isnil(L, proxy_index))
        proxy = check_str(L, proxy_index);
    struct handle *handle = push_handle(L);
    handle->fetch = fetch_new(pool, on_change, handle);
    handle->fetch->wants_interim = wants_interim;
    if ((proxy.ptr != NULL && !fetch_use_proxy(handle->fetch, proxy, &reason)) ||
        !fetch_request(handle->fetch, method, url, &reason) ||
        !add_headers(L, 4, handle->fetch, &reason)) {
        lua_pushnil(L);
        lua_pushstring(L, reason);
        return NULL;
    }
    struct scope *scope = scope_of(vm);
    if (scope != NULL)
        scope_hold(scope, &handle->holding);
    return handle;
}

static uint64_t check_timeout_ms(lua_State *L, int index)
{
    lua_Number timeout = luaL_checknumber(L, index);
    luaL_argcheck(L, timeout >= 0 && timeout < 1e9, index, "expected seconds");
    return (uint64_t)ceil(timeout * 1000);
}

/* fetch(pool, method, url, { name, value, ... }, body or nil, timeout in seconds, 0: none, whether
 * interim answers are wanted, URL of a proxy or nil)
 * Waits for the head: true, fetch, status and, when it is there, the whole body; or true, fetch,
 * 100 and interim answers (call head for more); or false, error. What cannot be sent: nil and why.
 */
static int l_fetch(lua_State *L)
{
    struct str body = {0};
    struct vm *vm = task_check(L);
    if (!lua_isnil(L, 5))
        body = check_str(L, 5);
    uint64_t timeout_ms = check_timeout_ms(L, 6);
    lua_settop(L, 8);
    struct handle *handle = prepare(L, vm, 8);
    if (handle == NULL)
        return 2;
    fetch_start(handle->fetch, body, timeout_ms);
    return wait_for(L, 9, handle, WANTS_HEAD);
}

/* open(pool, method, url, fields, body, timeout, whether interim answers are wanted, seconds, URL
 * of a proxy or nil) Begins as fetch does and waits for nothing: the fetch, or nil and why. A
 * number for a body: so many bytes come in pieces, see feed; -1 for as many as there are. The body
 * waits so many seconds for the server to ask for it; 0: not at all. */
static int l_open(lua_State *L)
{
    struct str body = {0};
    struct vm *vm = task_check(L);
    bool is_stream = lua_type(L, 5) == LUA_TNUMBER;
    lua_Number length = lua_tonumber(L, 5);
    if (!is_stream && !lua_isnil(L, 5))
        body = check_str(L, 5);
    luaL_argcheck(L, !is_stream || (length >= -1 && length <= 9e15), 5, "expected bytes");
    uint64_t timeout_ms = check_timeout_ms(L, 6), expect_ms = check_timeout_ms(L, 8);
    lua_settop(L, 9);
    struct handle *handle = prepare(L, vm, 9);
    if (handle == NULL)
        return 2;
    if (is_stream)
        upload_stream(handle->fetch, length < 0 ? UPLOAD_CHUNKED : (uint64_t)length);
    if (expect_ms != 0)
        upload_expect(handle->fetch, expect_ms);
    fetch_start(handle->fetch, body, timeout_ms);
    return 1;
}

/* The handle of an answer that can be read from; raises otherwise. */
struct handle *http_check_handle(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, HTTP_FETCH_META);
    if (handle->fetch == NULL) {
        vm_push_error(L, "closed", "the answer was given up and cannot be read any more");
        lua_error(L);
    }
    if (handle->op != NULL || handle->save_op != NULL) {
        vm_push_error(L, "misuse", "another task reads this answer");
        lua_error(L);
    }
    return handle;
}

const struct fetch *http_check_answer(lua_State *L)
{
    return http_check_handle(L)->fetch;
}

/* head(fetch): waits as fetch does */
static int l_head(lua_State *L)
{
    struct handle *handle = http_check_handle(L);
    if (!is_satisfied(handle->fetch, WANTS_HEAD))
        task_check(L);
    return wait_for(L, 1, handle, WANTS_HEAD);
}

/* chunk(fetch): waits; true and bytes, or true alone at the end; or false, error */
static int l_chunk(lua_State *L)
{
    struct handle *handle = http_check_handle(L);
    if (!is_satisfied(handle->fetch, WANTS_CHUNK))
        task_check(L);
    return wait_for(L, 1, handle, WANTS_CHUNK);
}

/* body(fetch, most bytes): waits; true and the rest of the body; or true alone when progress is to
 * be told; or false, error */
static int l_body(lua_State *L)
{
    struct handle *handle = http_check_handle(L);
    lua_Number most = luaL_checknumber(L, 2);
    luaL_argcheck(L, most >= 1 && most <= 9e15, 2, "expected bytes");
    if (!fetch_is_over(handle->fetch))
        task_check(L);
    fetch_want_whole(handle->fetch, (uint64_t)most);
    return wait_for(L, 1, handle, WANTS_WHOLE);
}

/* limit(fetch, seconds): what is left of its time from now on; 0: no limit */
static int l_limit(lua_State *L)
{
    fetch_limit(http_check_handle(L)->fetch, check_timeout_ms(L, 2));
    return 0;
}

/* connection(fetch): that of a 101, at the first call; else nil */
static int l_connection(lua_State *L)
{
    struct fetch *fetch = http_check_handle(L)->fetch;
    struct duplex *duplex = fetch_take_duplex(fetch);
    if (duplex == NULL)
        return 0;
    lua_getfenv(L, 1);
    lua_rawgeti(L, -1, HTTP_POOL_PLACE);
    duplex_push(L, duplex, scope_of(VM_UPVALUE(L)), pool_is_local(fetch->pool), lua_gettop(L));
    return 1;
}

/* close(fetch): gives it up */
static int l_close(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, HTTP_FETCH_META);
    if (handle->op != NULL || handle->save_op != NULL)
        return 0;
    link_remove(&handle->holding.link);
    http_give_up(handle);
    return 0;
}

int luaopen_moonloop_core_http(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"fetch", l_fetch},           {"open", l_open},   {"head", l_head},
        {"chunk", l_chunk},           {"body", l_body},   {"close", l_close},
        {"connection", l_connection}, {"limit", l_limit}, {NULL, NULL}};
    vm_library(L, functions);
    http_add_pool_functions(L);
    http_add_answer_functions(L);
    http_add_save_functions(L);
    http_add_upload_functions(L);
    http_add_url_functions(L);
    http_add_name_functions(L);
    return 1;
}
