/*
 * moonloop.core.websocket. One task may receive while others send. Functions that wait return
 * `true, ...` or `false, error`; a wait that is cut short takes nothing with it.
 */
#include "script/lib_websocket.h"

#include "base/mem.h"
#include "http/websocket.h"
#include "http/websocket_coder.h"
#include "net/tls_digest.h"
#include "script/lib_duplex.h"
#include "script/task.h"

#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>

static const char websocket_meta[] = "moonloop.core.websocket";
static const char coder_meta[] = "moonloop.core.websocket_coder";

struct wait_op {
    struct op op;
    struct link link; /* among the writers, or those who wait for the end */
    int handle_ref;   /* keeps it from the collector */
};

struct handle {
    struct websocket *websocket; /* NULL: released */
    struct op reader;            /* of who waits for a message: here, as that is what most do */
    int reader_ref;              /* as handle_ref */
    bool is_reading;
    enum wait_kind kind;
    struct link writers; /* who waits for the peer to take some */
    struct link closers; /* who waits for the end */
    struct scope_holding holding;
};

static void release_reader(struct op *op)
{
    struct handle *handle = (struct handle *)((char *)op - offsetof(struct handle, reader));
    handle->is_reading = false;
    if (handle->websocket != NULL)
        websocket_want(handle->websocket, false);
    luaL_unref(op->task->vm->L, LUA_REGISTRYINDEX, handle->reader_ref);
}

static void release(struct op *op)
{
    struct wait_op *wait = (struct wait_op *)op;
    link_remove(&wait->link);
    luaL_unref(op->task->vm->L, LUA_REGISTRYINDEX, wait->handle_ref);
    free(wait);
}

/* The handle is at 1. */
static int wait_in(lua_State *L, struct handle *handle, struct link *list)
{
    struct wait_op *wait = MEM_NEW(struct wait_op);
    wait->op.release = release;
    wait->op.kind = handle->kind;
    lua_pushvalue(L, 1);
    wait->handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    link_init(&wait->link);
    link_append(list, &wait->link);
    return task_wait(L, &wait->op);
}

static int wait_for_message(lua_State *L, struct handle *handle)
{
    handle->reader = (struct op){.release = release_reader, .kind = handle->kind};
    handle->is_reading = true;
    lua_pushvalue(L, 1);
    handle->reader_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    websocket_want(handle->websocket, true);
    return task_wait(L, &handle->reader);
}

/* ---- what a wait gives ---- */

static int push_message(lua_State *L, struct handle *handle, enum websocket_event event,
                        struct str payload)
{
    lua_pushboolean(L, true);
    if (event == WEBSOCKET_CLOSE) {
        lua_pushnil(L);
        return 2;
    }
    lua_pushlstring(L, payload.ptr, payload.len);
    websocket_took(handle->websocket);
    if (event == WEBSOCKET_TEXT)
        lua_pushliteral(L, "text");
    else
        lua_pushliteral(L, "binary");
    return 3;
}

static int push_sent(lua_State *L, const struct handle *handle)
{
    if (handle->websocket != NULL && !websocket_is_closing(handle->websocket)) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_pushboolean(L, false);
    vm_push_error(L, "closed", "the WebSocket is closed");
    return 2;
}

/* ---- events ---- */

static void on_message(void *owner, enum websocket_event event, struct str payload)
{
    struct handle *handle = owner;
    struct op *op = &handle->reader;
    op_complete(op, push_message(op_state(op), handle, event, payload));
}

static struct wait_op *first_of(struct link *list)
{
    return link_is_alone(list) ? NULL : LIST_ENTRY(list->next, struct wait_op, link);
}

/* Whoever goes on may drop the handle: it is kept until all have. */
static void on_writable(void *owner)
{
    struct handle *handle = owner;
    struct wait_op *first = first_of(&handle->writers);
    if (first == NULL)
        return;
    lua_State *L = first->op.task->vm->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, first->handle_ref);
    while (first != NULL &&
           (handle->websocket == NULL || !websocket_must_wait(handle->websocket))) {
        op_complete(&first->op, push_sent(op_state(&first->op), handle));
        first = first_of(&handle->writers);
    }
    lua_pop(L, 1);
}

static void on_over(void *owner)
{
    struct handle *handle = owner;
    struct wait_op *first = first_of(&handle->closers);
    if (first == NULL)
        return;
    lua_State *L = first->op.task->vm->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, first->handle_ref);
    for (; first != NULL; first = first_of(&handle->closers)) {
        lua_pushboolean(op_state(&first->op), true);
        op_complete(&first->op, 1);
    }
    lua_pop(L, 1);
}

static const struct websocket_owner events = {
    .on_message = on_message,
    .on_writable = on_writable,
    .on_over = on_over,
};

/* ---- life ---- */

static void end_waits(struct link *list)
{
    struct wait_op *first;
    while ((first = first_of(list)) != NULL)
        op_fail(&first->op, "closed", "the WebSocket is closed");
}

static void let_go(struct handle *handle)
{
    struct websocket *websocket = handle->websocket;
    if (websocket == NULL)
        return;
    handle->websocket = NULL;
    link_remove(&handle->holding.link);
    websocket_release(websocket);
    if (handle->is_reading)
        op_fail(&handle->reader, "closed", "the WebSocket is closed");
    end_waits(&handle->closers);
    end_waits(&handle->writers);
}

static int on_gc(lua_State *L)
{
    let_go(luaL_checkudata(L, 1, websocket_meta));
    return 0;
}

static void on_scope_end(struct scope_holding *holding)
{
    let_go(LIST_ENTRY(holding, struct handle, holding));
}

static int on_coder_gc(lua_State *L)
{
    struct websocket_coder **coder = lua_touserdata(L, 1);
    websocket_coder_free(*coder);
    *coder = NULL;
    return 0;
}

/* The one coder of this VM; it lies in the registry until the VM ends. */
static struct websocket_coder *coder_of(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "moonloop.websocket_coder");
    struct websocket_coder **coder = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (coder != NULL)
        return *coder;
    coder = lua_newuserdata(L, sizeof(*coder));
    *coder = NULL;
    luaL_getmetatable(L, coder_meta);
    lua_setmetatable(L, -2);
    *coder = websocket_coder_new();
    lua_setfield(L, LUA_REGISTRYINDEX, "moonloop.websocket_coder");
    return *coder;
}

static lua_Number field(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    lua_Number value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return value;
}

static bool flag(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

static uint32_t milliseconds(lua_State *L, int index, const char *name)
{
    return (uint32_t)(field(L, index, name) * 1000 + 0.5);
}

/* open(duplex, options): takes the connection over. Options, all checked: is_client, compress,
 * max_message, max_frame; ping_interval, ping_timeout, close_timeout in seconds. A server's ends
 * with the running task. */
static int l_open(lua_State *L)
{
    struct vm *vm = task_check(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    struct websocket_options options = {
        .is_client = flag(L, 2, "is_client"),
        .max_message = (uint32_t)field(L, 2, "max_message"),
        .max_frame = (uint32_t)field(L, 2, "max_frame"),
        .ping_interval_ms = milliseconds(L, 2, "ping_interval"),
        .ping_timeout_ms = milliseconds(L, 2, "ping_timeout"),
        .close_timeout_ms = milliseconds(L, 2, "close_timeout"),
        .coder = flag(L, 2, "compress") ? coder_of(L) : NULL,
    };
    struct handle *handle = lua_newuserdata(L, sizeof(*handle));
    *handle = (struct handle){
        .holding = {.on_scope_end = on_scope_end},
        .kind = options.is_client ? WAIT_REAL : WAIT_LOCAL,
    };
    link_init(&handle->holding.link);
    link_init(&handle->writers);
    link_init(&handle->closers);
    luaL_getmetatable(L, websocket_meta);
    lua_setmetatable(L, -2);
    if (options.is_client) { /* what the connection was kept for */
        lua_createtable(L, 1, 0);
        lua_pushvalue(L, 1);
        lua_rawseti(L, -2, 1);
        lua_setfenv(L, -2);
    }
    struct duplex *duplex = duplex_steal(L, 1);
    handle->websocket = websocket_open(vm->loop, duplex, &options, &events, handle);
    if (!options.is_client)
        scope_hold(&vm->current->root, &handle->holding);
    return 1;
}

static struct handle *check_handle(lua_State *L)
{
    return luaL_checkudata(L, 1, websocket_meta);
}

static int raise_busy(lua_State *L)
{
    vm_push_error(L, "misuse", "another task receives from this WebSocket already");
    return lua_error(L);
}

/* ---- messages ---- */

/* receive(websocket): waits; true, the message and "text" or "binary"; true, nil at the end */
static int l_receive(lua_State *L)
{
    struct handle *handle = check_handle(L);
    struct str payload;
    task_check(L);
    if (handle->is_reading)
        return raise_busy(L);
    if (handle->websocket == NULL)
        return push_message(L, handle, WEBSOCKET_CLOSE, (struct str){0});
    enum websocket_event event = websocket_receive(handle->websocket, &payload);
    if (event != WEBSOCKET_NOTHING)
        return push_message(L, handle, event, payload);
    lua_settop(L, 1);
    return wait_for_message(L, handle);
}

/* send(websocket, bytes, is_binary): waits while the peer is slow; true; or false, error */
static int l_send(lua_State *L)
{
    struct handle *handle = check_handle(L);
    struct str bytes;
    bool is_text = !lua_toboolean(L, 3);
    task_check(L);
    bytes.ptr = luaL_checklstring(L, 2, &bytes.len);
    if (handle->websocket == NULL || websocket_is_closing(handle->websocket))
        return push_sent(L, handle);
    if (is_text && websocket_utf8_next(0, bytes.ptr, bytes.len) != 0) {
        vm_push_error(L, "misuse",
                      "ws:send: the text is not UTF-8: send{ binary = ... } takes any bytes");
        return lua_error(L);
    }
    if (websocket_send(handle->websocket, is_text, bytes) != 0 ||
        !websocket_must_wait(handle->websocket))
        return push_sent(L, handle);
    lua_settop(L, 1);
    return wait_in(L, handle, &handle->writers);
}

/* close(websocket, code, reason, is_last): says goodbye; does not wait. is_last: what still comes
 * is thrown away, and whoever receives is told the end */
static int l_close(lua_State *L)
{
    struct handle *handle = check_handle(L);
    uint16_t code = (uint16_t)luaL_checkinteger(L, 2);
    struct str reason;
    reason.ptr = luaL_optlstring(L, 3, "", &reason.len);
    bool is_last = lua_toboolean(L, 4);
    if (handle->websocket == NULL)
        return 0;
    luaL_argcheck(L, websocket_is_code(code) || code == WEBSOCKET_NO_CODE, 2,
                  "expected a code that may be sent");
    luaL_argcheck(L, reason.len <= WEBSOCKET_REASON_MAX, 3, "expected at most 123 bytes");
    websocket_close(handle->websocket, code, reason);
    if (!is_last)
        return 0;
    websocket_ignore(handle->websocket);
    if (handle->is_reading) {
        struct op *op = &handle->reader;
        op_complete(op, push_message(op_state(op), handle, WEBSOCKET_CLOSE, (struct str){0}));
    }
    return 0;
}

/* wait_over(websocket): until both sides have said goodbye, or the connection is gone; true */
static int l_wait_over(lua_State *L)
{
    struct handle *handle = check_handle(L);
    task_check(L);
    if (handle->websocket == NULL || websocket_is_over(handle->websocket)) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_settop(L, 1);
    return wait_in(L, handle, &handle->closers);
}

/* release(websocket): also twice */
static int l_release(lua_State *L)
{
    return on_gc(L);
}

/* state(websocket): "open", "closing" or "closed", and code and reason of the first goodbye */
static int l_state(lua_State *L)
{
    const struct handle *handle = check_handle(L);
    const struct websocket *websocket = handle->websocket;
    if (websocket == NULL) {
        lua_pushliteral(L, "closed");
        return 1;
    }
    lua_pushstring(L, websocket_is_over(websocket)      ? "closed"
                      : websocket_is_closing(websocket) ? "closing"
                                                        : "open");
    if (websocket_close_code(websocket) == 0)
        return 1;
    struct str reason = websocket_close_reason(websocket);
    lua_pushinteger(L, websocket_close_code(websocket));
    lua_pushlstring(L, reason.ptr, reason.len);
    return 3;
}

static void push_base64(lua_State *L, const void *bytes, size_t len)
{
    char text[TLS_BASE64_BYTES];
    lua_pushlstring(L, text, tls_base64((struct str){bytes, len}, text));
}

/* accept(key): what a server answers to Sec-WebSocket-Key (RFC 6455, 4.2.2) */
static int l_accept(lua_State *L)
{
    unsigned char digest[TLS_SHA1_BYTES];
    struct str pieces[2] = {{0}, str_of("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")};
    pieces[0].ptr = luaL_checklstring(L, 1, &pieces[0].len);
    if (!tls_sha1(pieces, 2, digest))
        return luaL_error(L, "OpenSSL has given no SHA-1: its memory is out, or it does without");
    push_base64(L, digest, sizeof(digest));
    return 1;
}

/* key(): one for a client's handshake, that nobody can guess */
static int l_key(lua_State *L)
{
    char bytes[16];
    ENSURE(getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes));
    push_base64(L, bytes, sizeof(bytes));
    return 1;
}

int luaopen_moonloop_core_websocket(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", l_open},       {"receive", l_receive},
                                         {"send", l_send},       {"close", l_close},
                                         {"release", l_release}, {"wait_over", l_wait_over},
                                         {"state", l_state},     {"accept", l_accept},
                                         {"key", l_key},         {NULL, NULL}};
    vm_new_metatable(L, websocket_meta, on_gc);
    vm_new_metatable(L, coder_meta, on_coder_gc);
    vm_library(L, functions);
    return 1;
}
