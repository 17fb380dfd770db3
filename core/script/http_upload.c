/*
 * What moonloop.core.http has for bodies that come in pieces: a task, the feeder, gives one piece
 * after the other and waits for room between them, while another waits for the answer.
 *
 * The feeder belongs to the fetch, not to a scope: when nobody wants the rest of the body, because
 * the fetch is over, was given up or has its refusal, the feeder is cancelled.
 */
#include "base/mem.h"
#include "http/fetch.h"
#include "http/pool.h"
#include "http/upload.h"
#include "script/http_parts.h"
#include "script/task.h"

#include <stdlib.h>

struct feeding {
    struct op op; /* the feeder's wait for room */
    struct vm *vm;
    struct handle *handle;
    int handle_ref; /* while there is a feeder: keeps the handle from the collector */
    int feeder_ref; /* its Lua handle, LUA_NOREF when it has done its part */
    int failure_ref;
    bool is_waiting;
};

static void release(struct op *op)
{
    ((struct feeding *)op)->is_waiting = false;
}

/* The feeder has given all that it will. */
static void let_feeder_go(struct feeding *feeding)
{
    lua_State *L = feeding->vm->L;
    luaL_unref(L, LUA_REGISTRYINDEX, feeding->handle_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, feeding->feeder_ref);
    feeding->handle_ref = feeding->feeder_ref = LUA_NOREF;
}

void http_upload_stop(struct handle *handle)
{
    struct feeding *feeding = handle->feeding;
    if (feeding == NULL || feeding->feeder_ref == LUA_NOREF)
        return;
    lua_State *L = feeding->vm->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, feeding->feeder_ref);
    lua_rawgeti(L, -1, 0);
    struct task *feeder = lua_touserdata(L, -1); /* NULL: it has ended */
    lua_pop(L, 2);
    let_feeder_go(feeding);
    if (feeder == NULL)
        return;
    vm_push_error(L, "cancelled", "nobody wants the rest of this body");
    task_cancel(feeder, L);
}

void http_upload_changed(struct handle *handle)
{
    struct feeding *feeding = handle->feeding;
    if (upload_is_unwanted(handle->held.fetch)) {
        http_upload_stop(handle);
    } else if (feeding->is_waiting && upload_wants_more(handle->held.fetch)) {
        lua_pushboolean(op_state(&feeding->op), true);
        op_complete(&feeding->op, 1);
    }
}

lua_State *http_upload_hold(struct handle *handle)
{
    struct feeding *feeding = handle->feeding;
    lua_rawgeti(feeding->vm->L, LUA_REGISTRYINDEX, feeding->handle_ref);
    return feeding->vm->L;
}

bool http_upload_push_failure(lua_State *L, const struct handle *handle)
{
    if (handle->feeding == NULL || handle->feeding->failure_ref == LUA_NOREF)
        return false;
    lua_rawgeti(L, LUA_REGISTRYINDEX, handle->feeding->failure_ref);
    return true;
}

void http_upload_free(lua_State *L, struct handle *handle)
{
    struct feeding *feeding = handle->feeding;
    if (feeding == NULL)
        return;
    luaL_unref(L, LUA_REGISTRYINDEX, feeding->handle_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, feeding->feeder_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, feeding->failure_ref);
    free(feeding);
    handle->feeding = NULL;
}

static struct handle *check_feeding(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, HTTP_FETCH_META);
    luaL_argcheck(L, handle->feeding != NULL, 1, "this fetch has no feeder");
    return handle;
}

/* feed(fetch, task handle): that task, which has not begun, gives the pieces */
static int l_feed(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, HTTP_FETCH_META);
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_argcheck(L, handle->held.fetch != NULL && handle->held.fetch->upload != NULL, 1,
                  "expected a stream");
    luaL_argcheck(L, handle->feeding == NULL, 1, "it has a feeder already");
    lua_settop(L, 2);
    task_holds(L);
    struct feeding *feeding = handle->feeding = MEM_NEW(struct feeding);
    feeding->op.release = release;
    feeding->op.kind = pool_is_local(handle->held.fetch->pool) ? WAIT_LOCAL : WAIT_REAL;
    feeding->vm = VM_UPVALUE(L);
    feeding->handle = handle;
    feeding->failure_ref = LUA_NOREF;
    feeding->feeder_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    feeding->handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (upload_is_unwanted(handle->held.fetch)) /* it failed where it began */
        http_upload_stop(handle);
    return task_goes_on(L, 0);
}

/* room(fetch): waits until a piece may be given; true; or false, error */
static int l_room(lua_State *L)
{
    struct handle *handle = check_feeding(L);
    task_check(L);
    if (handle->held.fetch == NULL || upload_is_unwanted(handle->held.fetch)) {
        lua_pushboolean(L, false);
        vm_push_error(L, "cancelled", "nobody wants the rest of this body");
        return task_goes_on(L, 2);
    }
    if (upload_wants_more(handle->held.fetch)) {
        lua_pushboolean(L, true);
        return task_goes_on(L, 1);
    }
    luaL_argcheck(L, !handle->feeding->is_waiting, 1, "another task feeds it");
    handle->feeding->is_waiting = true;
    return task_wait(L, &handle->feeding->op);
}

/* The feeder's own call has failed it: whoever waits for the answer has to know. */
static void tell_failure(struct handle *handle)
{
    let_feeder_go(handle->feeding);
    http_tell_reader(handle);
}

/* send(fetch, piece): after room; the last one when `piece` is nil */
static int l_send(lua_State *L)
{
    struct handle *handle = check_feeding(L);
    struct fetch *fetch = handle->held.fetch;
    struct str piece = {0};
    bool is_end = lua_isnoneornil(L, 2);
    if (!is_end)
        piece.ptr = luaL_checklstring(L, 2, &piece.len);
    if (fetch == NULL || upload_is_unwanted(fetch) || (!is_end && piece.len == 0))
        return 0;
    luaL_argcheck(L, upload_wants_more(fetch), 1, "there is no room: call room first");
    lua_settop(L, 2);
    luaL_unref(L, LUA_REGISTRYINDEX, handle->held.body_ref);
    handle->held.body_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (is_end ? !upload_end(fetch) : !upload_give(fetch, piece))
        tell_failure(handle);
    else if (is_end)
        let_feeder_go(handle->feeding);
    return 0;
}

/* break_off(fetch, error): the body cannot be made; that error is what its request raises */
static int l_break_off(lua_State *L)
{
    struct handle *handle = check_feeding(L);
    if (handle->held.fetch == NULL || upload_is_unwanted(handle->held.fetch))
        return 0;
    lua_settop(L, 2);
    handle->feeding->failure_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    fetch_break(handle->held.fetch, FETCH_BAD_BODY, "the body could not be made");
    tell_failure(handle);
    return 0;
}

void http_add_upload_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"feed", l_feed},
                                         {"room", l_room},
                                         {"send", l_send},
                                         {"break_off", l_break_off},
                                         {NULL, NULL}};
    vm_add_functions(L, functions);
}
