/*
 * moonloop.core.duplex. One task may read while another writes. Functions that wait return
 * `true, ...` or `false, error`; a wait that is cut short takes nothing with it.
 */
#include "script/lib_duplex.h"

#include "base/mem.h"
#include "http/duplex.h"
#include "script/task.h"

#include <lauxlib.h>
#include <stdlib.h>

static const char duplex_meta[] = "moonloop.core.duplex";

struct handle {
    struct duplex *duplex;  /* NULL: closed on our side */
    struct wait_op *reader; /* who waits for bytes */
    struct wait_op *writer; /* who waits for the peer to take some */
    struct scope_holding holding;
    enum wait_kind kind;
};

struct wait_op {
    struct op op;
    struct wait_op **place; /* in the handle */
    int handle_ref;         /* keeps it from the collector */
};

static void release(struct op *op)
{
    struct wait_op *wait = (struct wait_op *)op;
    *wait->place = NULL;
    luaL_unref(op->task->vm->L, LUA_REGISTRYINDEX, wait->handle_ref);
    free(wait);
}

/* ---- what a wait gives ---- */

static int push_failure(lua_State *L, const char *why)
{
    lua_pushboolean(L, false);
    vm_push_error(L, "closed", "%s", why);
    return 2;
}

static bool can_read(const struct duplex *duplex)
{
    return duplex_bytes(duplex).len != 0 || duplex_state(duplex) != DUPLEX_OPEN;
}

static int push_read(lua_State *L, struct duplex *duplex)
{
    struct str bytes = duplex_bytes(duplex);
    if (bytes.len == 0 && duplex_state(duplex) == DUPLEX_LOST)
        return push_failure(L, "the connection was reset by its other side, or cut");
    lua_pushboolean(L, true);
    if (bytes.len == 0)
        return 1;
    lua_pushlstring(L, bytes.ptr, bytes.len);
    duplex_take(duplex, bytes.len);
    return 2;
}

static int push_written(lua_State *L, const struct duplex *duplex)
{
    if (duplex_state(duplex) == DUPLEX_LOST)
        return push_failure(L, "the other side of the connection has gone");
    lua_pushboolean(L, true);
    return 1;
}

/* Whoever is told may close the handle: it is looked at anew for the other one. */
static void on_change(void *owner)
{
    struct handle *handle = owner;
    struct wait_op *any = handle->reader != NULL ? handle->reader : handle->writer;
    if (any == NULL)
        return;
    lua_State *L = any->op.task->vm->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, any->handle_ref); /* stays until we are through */
    if (handle->writer != NULL && !duplex_must_wait(handle->duplex)) {
        struct op *op = &handle->writer->op;
        op_complete(op, push_written(op_state(op), handle->duplex));
    }
    if (handle->reader != NULL && can_read(handle->duplex)) {
        struct op *op = &handle->reader->op;
        op_complete(op, push_read(op_state(op), handle->duplex));
    }
    lua_pop(L, 1);
}

static int wait_at(lua_State *L, struct handle *handle, struct wait_op **place)
{
    struct wait_op *wait = MEM_NEW(struct wait_op);
    wait->op.release = release;
    wait->op.kind = handle->kind;
    wait->place = place;
    lua_pushvalue(L, 1);
    wait->handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    *place = wait;
    return task_wait(L, &wait->op);
}

/* ---- life ---- */

static void let_go(struct handle *handle)
{
    static const char why[] = "the connection was closed on this side";
    struct duplex *duplex = handle->duplex;
    handle->duplex = NULL;
    link_remove(&handle->holding.link);
    duplex_release(duplex);
    struct wait_op *reader = handle->reader, *writer = handle->writer;
    if (writer != NULL)
        op_fail(&writer->op, "closed", why);
    if (reader != NULL)
        op_fail(&reader->op, "closed", why);
}

static int on_gc(lua_State *L)
{
    let_go(luaL_checkudata(L, 1, duplex_meta));
    return 0;
}

static void on_scope_end(struct scope_holding *holding)
{
    let_go(LIST_ENTRY(holding, struct handle, holding));
}

void duplex_push(lua_State *L, struct duplex *duplex, struct scope *scope, bool is_local, int kept)
{
    struct handle *handle = lua_newuserdata(L, sizeof(*handle));
    *handle = (struct handle){
        .duplex = duplex,
        .holding = {.on_scope_end = on_scope_end},
        .kind = is_local ? WAIT_LOCAL : WAIT_REAL,
    };
    link_init(&handle->holding.link);
    duplex_own(duplex, on_change, handle);
    if (scope != NULL)
        scope_hold(scope, &handle->holding);
    if (luaL_newmetatable(L, duplex_meta) != 0) {
        lua_pushcfunction(L, on_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    if (kept == 0)
        return;
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, kept);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, -2);
}

static struct handle *check_open(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, duplex_meta);
    if (handle->duplex == NULL) {
        vm_push_error(L, "closed", "the connection was closed on this side");
        lua_error(L);
    }
    return handle;
}

static int raise_busy(lua_State *L, const char *does)
{
    vm_push_error(L, "misuse", "another task %s this connection already", does);
    return lua_error(L);
}

struct duplex *duplex_steal(lua_State *L, int index)
{
    struct handle *handle = luaL_checkudata(L, index, duplex_meta);
    struct duplex *duplex = handle->duplex;
    if (duplex == NULL || handle->reader != NULL || handle->writer != NULL) {
        vm_push_error(L, "misuse", "the connection is closed, or somebody waits for it");
        lua_error(L);
    }
    handle->duplex = NULL;
    link_remove(&handle->holding.link);
    return duplex;
}

/* ---- bytes ---- */

/* read(duplex): waits; true and what has come, true alone at the end; or false, error */
static int l_read(lua_State *L)
{
    struct handle *handle = check_open(L);
    task_check(L);
    if (handle->reader != NULL)
        return raise_busy(L, "reads from");
    if (can_read(handle->duplex))
        return task_goes_on(L, push_read(L, handle->duplex));
    lua_settop(L, 1);
    return wait_at(L, handle, &handle->reader);
}

/* write(duplex, bytes): waits while the peer is slow; true; or false, error */
static int l_write(lua_State *L)
{
    struct handle *handle = check_open(L);
    struct str bytes;
    task_check(L);
    bytes.ptr = luaL_checklstring(L, 2, &bytes.len);
    if (handle->writer != NULL)
        return raise_busy(L, "writes to");
    if (duplex_write(handle->duplex, bytes) != 0)
        return push_failure(
            L, "nothing can be sent any more: the other side has gone, or this one has ended");
    if (!duplex_must_wait(handle->duplex))
        return task_goes_on(L, push_written(L, handle->duplex));
    lua_settop(L, 1);
    return wait_at(L, handle, &handle->writer);
}

/* finish(duplex): nothing more is sent; the other side may go on */
static int l_finish(lua_State *L)
{
    duplex_end(check_open(L)->duplex);
    return 0;
}

/* close(duplex): also twice */
static int l_close(lua_State *L)
{
    return on_gc(L);
}

/* state(duplex): "open", "ended" by the other side, "lost" or "closed" on ours */
static int l_state(lua_State *L)
{
    static const char *const names[] = {"open", "ended", "lost"};
    struct handle *handle = luaL_checkudata(L, 1, duplex_meta);
    lua_pushstring(L, handle->duplex != NULL ? names[duplex_state(handle->duplex)] : "closed");
    return 1;
}

int luaopen_moonloop_core_duplex(lua_State *L)
{
    static const luaL_Reg functions[] = {{"read", l_read},     {"write", l_write},
                                         {"finish", l_finish}, {"close", l_close},
                                         {"state", l_state},   {NULL, NULL}};
    vm_library(L, functions);
    return 1;
}
