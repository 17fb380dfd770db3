/*
 * Waiting for an answer, and for more of it. An exchange whose answer came whole while its head was
 * waited for is told at once and freed; only what goes on after that, or has more to tell, becomes
 * a handle, a userdata: most fetches cost the collector nothing.
 */
#include "base/mem.h"
#include "http/fetch.h"
#include "http/method.h"
#include "http/outgoing.h"
#include "http/pool.h"
#include "http/proxy.h"
#include "http/upload.h"
#include "script/http_parts.h"
#include "script/lib_duplex.h"
#include "script/task.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

enum wanted { WANTS_HEAD, WANTS_CHUNK, WANTS_WHOLE };

struct fetch_op {
    struct op op;
    struct handle *handle; /* NULL: only this wait knows the exchange, in `held` */
    int handle_ref;        /* keeps it from the collector */
    struct held held;
    enum wanted wanted;
    bool is_complete;
    struct http_pool *pool; /* whose spare op it becomes */
    struct fetch_op *next_spare;
};

enum { SPARE_OPS = 256 };

/* ---- handles ---- */

static void drop(struct held *held)
{
    if (held->fetch == NULL)
        return;
    fetch_free(held->fetch);
    if (held->body_ref != LUA_NOREF)
        luaL_unref(held->pool->L, LUA_REGISTRYINDEX, held->body_ref);
    http_pool_let_go(held->pool);
    held->fetch = NULL;
}

void http_give_up(struct handle *handle)
{
    http_upload_stop(handle);
    http_save_stop(handle);
    drop(&handle->held);
}

static int on_handle_gc(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, HTTP_FETCH_META);
    link_remove(&handle->holding.link);
    http_save_stop(handle);
    drop(&handle->held);
    http_upload_free(L, handle);
    return 0;
}

/* The request of ours is over: what it did not read of an answer nobody will. */
static void on_scope_end(struct scope_holding *holding)
{
    struct handle *handle = LIST_ENTRY(holding, struct handle, holding);
    bool is_wanted = handle->op != NULL || handle->save_op != NULL;
    const struct fetch *fetch = handle->held.fetch;
    bool is_under_way =
        fetch != NULL && (!fetch_is_over(fetch) || fetch->duplex != NULL || handle->saving != NULL);
    if (is_under_way && !is_wanted)
        http_give_up(handle);
}

struct scope *http_scope_of(struct task *task)
{
    struct scope *scope = task != NULL ? task->scope : NULL;
    while (scope != NULL && scope->parent != NULL)
        scope = scope->parent;
    bool is_for_request =
        scope != NULL && scope->owner->owner != NULL && scope->owner->exchange != NULL;
    return is_for_request ? scope : NULL;
}

static void on_handle_change(struct fetch *fetch);

struct handle *http_push_handle(lua_State *L, const struct held *held, struct task *task)
{
    struct handle *handle = lua_newuserdata(L, sizeof(*handle));
    *handle = (struct handle){.held = *held, .holding = {.on_scope_end = on_scope_end}};
    link_init(&handle->holding.link);
    luaL_getmetatable(L, HTTP_FETCH_META);
    lua_setmetatable(L, -2);
    held->fetch->owner = handle;
    held->fetch->on_change = on_handle_change;
    struct scope *scope = http_scope_of(task);
    if (scope != NULL)
        scope_hold(scope, &handle->holding);
    return handle;
}

/* The handle of what is waited for, made when there is none. */
static void push_handle(lua_State *L, struct fetch_op *wait)
{
    if (wait->handle != NULL) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, wait->handle_ref);
        return;
    }
    wait->handle = http_push_handle(L, &wait->held, wait->op.task);
    wait->handle->op = wait;
    wait->held.fetch = NULL;
}

/* ---- what a wait gives: see the functions that begin it ---- */

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

void http_push_failure(lua_State *L, const struct handle *handle, const struct fetch *fetch)
{
    static const char *const codes[] = {"error",  "full",     "dns",       "refused", "tls",
                                        "closed", "protocol", "too_large", "timeout", "body"};
    if (handle != NULL && http_upload_push_failure(L, handle))
        return;
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
    http_push_timing(L, fetch);
    lua_setfield(L, -2, "timing");
    if (fetch->request->proxy != NULL) {
        lua_pushstring(L, fetch->request->proxy->name);
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
        http_push_failure(L, wait->handle, fetch);
        return 2;
    }
    if (wait->wanted == WANTS_HEAD)
        return push_head(L, wait, fetch);
    lua_pushboolean(L, true);
    if ((wait->wanted == WANTS_CHUNK && fetch->answer_body.len == 0) ||
        (wait->wanted == WANTS_WHOLE && !fetch_is_over(fetch)))
        return 1;
    push_taken_body(L, fetch);
    return 2;
}

/* ---- waiting ---- */

static void release(struct op *op)
{
    struct fetch_op *wait = (struct fetch_op *)op;
    struct handle *handle = wait->handle;
    struct http_pool *pool = wait->pool;
    drop(&wait->held);
    if (handle != NULL) {
        handle->op = NULL;
        if (!wait->is_complete) /* cancelled: its socket closes now */
            http_give_up(handle);
    }
    if (wait->handle_ref != LUA_NOREF)
        luaL_unref(op->task->vm->L, LUA_REGISTRYINDEX, wait->handle_ref);
    if (pool->nspare_ops == SPARE_OPS) {
        free(wait);
        return;
    }
    wait->next_spare = pool->spare_ops;
    pool->spare_ops = wait;
    pool->nspare_ops++;
}

static struct fetch_op *take_spare_op(struct http_pool *pool)
{
    struct fetch_op *wait = pool->spare_ops;
    if (wait == NULL)
        return NULL;
    pool->spare_ops = wait->next_spare;
    pool->nspare_ops--;
    return wait;
}

void http_free_spare_op(struct http_pool *pool)
{
    free(take_spare_op(pool));
}

static void tell(struct fetch_op *wait, struct fetch *fetch)
{
    if (!is_satisfied(fetch, wait->wanted))
        return;
    int count = push_results(op_state(&wait->op), wait, fetch);
    wait->is_complete = true;
    op_complete(&wait->op, count);
}

static void on_change(struct fetch *fetch)
{
    tell(fetch->owner, fetch);
}

void http_tell_reader(struct handle *handle)
{
    if (handle->saving != NULL)
        http_save_changed(handle);
    if (handle->op != NULL)
        tell(handle->op, handle->held.fetch);
}

static void on_handle_change(struct fetch *fetch)
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

static struct fetch_op *op_new(const struct fetch_op *begun, const struct fetch *fetch,
                               struct http_pool *pool)
{
    struct fetch_op *wait = take_spare_op(pool);
    if (wait == NULL)
        wait = MEM_NEW(struct fetch_op);
    *wait = *begun;
    wait->pool = pool;
    wait->op.release = release;
    wait->op.kind = pool_is_local(fetch->pool) ? WAIT_LOCAL : WAIT_REAL;
    return wait;
}

int http_wait_for_head(lua_State *L, struct held *held)
{
    struct fetch_op now = {.wanted = WANTS_HEAD, .handle_ref = LUA_NOREF, .held = *held};
    struct fetch *fetch = held->fetch;
    if (!is_satisfied(fetch, WANTS_HEAD)) {
        struct fetch_op *wait = op_new(&now, fetch, held->pool);
        fetch->owner = wait;
        fetch->on_change = on_change;
        return task_wait(L, &wait->op);
    }
    int count = push_results(L, &now, fetch); /* it has failed where it began */
    drop(held);
    return task_goes_on(L, count);
}

/* The handle is at 1. */
static int wait_for(lua_State *L, struct handle *handle, enum wanted wanted)
{
    struct fetch *fetch = handle->held.fetch;
    task_holds(L);
    lua_pushvalue(L, 1);
    struct fetch_op now = {.handle = handle, .wanted = wanted};
    now.handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (!is_satisfied(fetch, wanted)) {
        struct fetch_op *wait = handle->op = op_new(&now, fetch, handle->held.pool);
        return task_wait(L, &wait->op);
    }
    if (handle->feeding != NULL && upload_is_unwanted(fetch))
        http_upload_stop(handle);
    int count = push_results(L, &now, fetch);
    luaL_unref(L, LUA_REGISTRYINDEX, now.handle_ref);
    return task_goes_on(L, count);
}

/* The handle of an answer that can be read from; raises otherwise. */
struct handle *http_check_handle(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, HTTP_FETCH_META);
    if (handle->held.fetch == NULL) {
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
    return http_check_handle(L)->held.fetch;
}

/* head(fetch): waits as fetch does */
static int l_head(lua_State *L)
{
    struct handle *handle = http_check_handle(L);
    if (!is_satisfied(handle->held.fetch, WANTS_HEAD))
        task_check(L);
    return wait_for(L, handle, WANTS_HEAD);
}

/* chunk(fetch): waits; true and bytes, or true alone at the end; or false, error */
static int l_chunk(lua_State *L)
{
    struct handle *handle = http_check_handle(L);
    if (!is_satisfied(handle->held.fetch, WANTS_CHUNK))
        task_check(L);
    return wait_for(L, handle, WANTS_CHUNK);
}

/* body(fetch, most bytes): waits; true and the rest of the body; or true alone when progress is to
 * be told; or false, error */
static int l_body(lua_State *L)
{
    struct handle *handle = http_check_handle(L);
    lua_Number most = luaL_checknumber(L, 2);
    luaL_argcheck(L, most >= 1 && most <= 9e15, 2, "expected bytes");
    if (!fetch_is_over(handle->held.fetch))
        task_check(L);
    fetch_want_whole(handle->held.fetch, (uint64_t)most);
    return wait_for(L, handle, WANTS_WHOLE);
}

/* limit(fetch, seconds): what is left of its time from now on; 0: no limit */
static int l_limit(lua_State *L)
{
    lua_Number seconds = luaL_checknumber(L, 2);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 2, "expected seconds");
    fetch_limit(http_check_handle(L)->held.fetch, (uint64_t)ceil(seconds * 1000));
    return 0;
}

/* connection(fetch): that of a 101, at the first call; else nil */
static int l_connection(lua_State *L)
{
    struct handle *handle = http_check_handle(L);
    struct duplex *duplex = fetch_take_duplex(handle->held.fetch);
    if (duplex == NULL)
        return 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, handle->held.pool->self_ref);
    duplex_push(L, duplex, http_scope_of(VM_UPVALUE(L)->current),
                pool_is_local(handle->held.fetch->pool), lua_gettop(L));
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

void http_add_wait_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"head", l_head},   {"chunk", l_chunk},           {"body", l_body},
        {"limit", l_limit}, {"connection", l_connection}, {"close", l_close},
        {NULL, NULL}};
    luaL_newmetatable(L, HTTP_FETCH_META);
    lua_pushcfunction(L, on_handle_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    vm_add_functions(L, functions);
}
