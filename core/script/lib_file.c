/*
 * moonloop.core.file. A file is userdata, closed by its end: close, the end of the request that it
 * was opened for, or the collector. One task at a time waits for it; one that is cancelled there
 * closes it. Functions that wait return `true, ...` or `false, error`.
 */
#include "script/lib_file.h"

#include "base/mem.h"
#include "loop/file.h"
#include "script/task.h"
#include "script/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

static const char file_meta[] = "moonloop.core.file";

enum { READ_MAX = 64 << 20, PATH_PLACE = 1 /* in a file's environment */ };

struct handle {
    struct file *file; /* NULL: closed */
    struct wait *wait; /* who waits */
    uint64_t position; /* where the next read or write is */
    const char *doing; /* for messages */
    const char *path;  /* kept by the environment */
    struct scope_holding holding;
};

struct wait {
    struct op op;
    struct handle *handle;
    int handle_ref; /* keeps it from the collector */
    bool is_complete;
};

static void close_handle(struct handle *handle)
{
    link_remove(&handle->holding.link);
    file_free(handle->file);
    handle->file = NULL;
}

static int on_gc(lua_State *L)
{
    close_handle(luaL_checkudata(L, 1, file_meta));
    return 0;
}

static void on_scope_end(struct scope_holding *holding)
{
    struct handle *handle = LIST_ENTRY(holding, struct handle, holding);
    if (handle->wait == NULL)
        close_handle(handle);
}

static void release(struct op *op)
{
    struct wait *wait = (struct wait *)op;
    wait->handle->wait = NULL;
    if (!wait->is_complete) /* cancelled in the middle of something */
        close_handle(wait->handle);
    luaL_unref(op->task->vm->L, LUA_REGISTRYINDEX, wait->handle_ref);
    free(wait);
}

static int wait_for(lua_State *L, struct handle *handle, int index)
{
    struct wait *wait = MEM_NEW(struct wait);
    lua_pushvalue(L, index);
    wait->handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    wait->op.release = release;
    wait->handle = handle;
    handle->wait = wait;
    return task_wait(L, &wait->op);
}

static void complete(struct wait *wait, int count)
{
    wait->is_complete = true;
    op_complete(&wait->op, count);
}

static void push_error(lua_State *L, const char *doing, const char *path, int error)
{
    const char *name = strerrorname_np(error);
    vm_push_error(L, "file", "%s %s: %s", doing, path, strerror(error));
    lua_pushstring(L, path);
    lua_setfield(L, -2, "path");
    lua_pushstring(L, name != NULL ? name : "EIO");
    lua_setfield(L, -2, "errno");
}

/* Whether it was good; else the wait is over. */
static bool is_good(struct handle *handle, int64_t result)
{
    struct wait *wait = handle->wait;
    if (result >= 0)
        return true;
    lua_State *L = op_state(&wait->op);
    lua_pushboolean(L, false);
    push_error(L, handle->doing, handle->path, (int)-result);
    complete(wait, 2);
    return false;
}

static void on_done(void *owner, int64_t result, struct buf *bytes)
{
    struct handle *handle = owner;
    (void)bytes;
    if (!is_good(handle, result))
        return;
    lua_pushboolean(op_state(&handle->wait->op), true);
    complete(handle->wait, 1);
}

static void on_opened(void *owner, int64_t result, struct buf *bytes)
{
    struct handle *handle = owner;
    if (result < 0) {
        struct file *file = handle->file;
        handle->file = NULL;
        is_good(handle, result);
        file_free(file);
        return;
    }
    (void)bytes;
    lua_State *L = op_state(&handle->wait->op);
    lua_pushboolean(L, true);
    lua_rawgeti(L, LUA_REGISTRYINDEX, handle->wait->handle_ref);
    complete(handle->wait, 2);
}

static void on_read(void *owner, int64_t result, struct buf *bytes)
{
    struct handle *handle = owner;
    if (!is_good(handle, result))
        return;
    lua_State *L = op_state(&handle->wait->op);
    handle->position += bytes->len;
    lua_pushboolean(L, true);
    if (bytes->len == 0)
        lua_pushnil(L);
    else
        lua_pushlstring(L, bytes->ptr, bytes->len);
    complete(handle->wait, 2);
}

static void on_written(void *owner, int64_t result, struct buf *bytes)
{
    struct handle *handle = owner;
    if (result > 0)
        handle->position += (uint64_t)result;
    on_done(owner, result, bytes);
}

static void on_stated(void *owner, int64_t result, struct buf *bytes)
{
    struct handle *handle = owner;
    (void)bytes;
    if (!is_good(handle, result))
        return;
    const struct file_info *info = file_info(handle->file);
    lua_State *L = op_state(&handle->wait->op);
    lua_pushboolean(L, true);
    lua_createtable(L, 0, 4);
    lua_pushnumber(L, (lua_Number)info->size);
    lua_setfield(L, -2, "size");
    lua_pushnumber(L, (lua_Number)info->modified_us / 1e6);
    lua_setfield(L, -2, "modified");
    lua_pushinteger(L, (lua_Integer)info->mode);
    lua_setfield(L, -2, "mode");
    lua_pushstring(L, info->is_regular ? "file" : info->is_directory ? "directory" : "other");
    lua_setfield(L, -2, "kind");
    complete(handle->wait, 2);
}

static void on_closed(void *owner, int64_t result, struct buf *bytes)
{
    struct handle *handle = owner;
    struct file *file = handle->file;
    link_remove(&handle->holding.link);
    handle->file = NULL;
    on_done(owner, result, bytes);
    file_free(file);
}

/* ---- for Lua ---- */

/* To the request of ours, if it is for one: it is closed with that at the latest. */
static void hold(struct vm *vm, struct handle *handle)
{
    struct scope *scope = vm->current->scope;
    while (scope->parent != NULL)
        scope = scope->parent;
    if (scope->owner->owner != NULL && scope->owner->exchange != NULL)
        scope_hold(scope, &handle->holding);
}

/* open(path, "read"|"write"|"append"|"create", mode): waits; true, file; or false, error. "write"
 * empties what is there, "create" fails when something is. */
static int l_open(lua_State *L)
{
    static const char *const names[] = {"read", "write", "append", "create", NULL};
    static const int flags[] = {O_RDONLY, O_WRONLY | O_CREAT | O_TRUNC,
                                O_WRONLY | O_CREAT | O_APPEND, O_WRONLY | O_CREAT | O_EXCL};
    struct vm *vm = task_check(L);
    size_t len;
    const char *path = luaL_checklstring(L, 1, &len);
    luaL_argcheck(L, len != 0 && strlen(path) == len, 1, "expected a path");
    int flag = flags[luaL_checkoption(L, 2, "read", names)];
    lua_Integer mode = luaL_optinteger(L, 3, 0666);
    luaL_argcheck(L, mode >= 0 && mode <= 07777, 3, "expected permissions");
    struct handle *handle = lua_newuserdata(L, sizeof(*handle));
    *handle = (struct handle){.holding = {.on_scope_end = on_scope_end}};
    link_init(&handle->holding.link);
    luaL_getmetatable(L, file_meta);
    lua_setmetatable(L, -2);
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, PATH_PLACE);
    lua_setfenv(L, -2);
    handle->path = path;
    handle->doing = "open";
    handle->file = file_new(vm->loop, handle);
    hold(vm, handle);
    file_open(handle->file, path, flag, (uint32_t)mode, on_opened);
    return wait_for(L, handle, lua_gettop(L));
}

/* The handle at 1, when it can be waited for; raises otherwise. */
static struct handle *check_handle(lua_State *L, const char *doing)
{
    struct handle *handle = luaL_checkudata(L, 1, file_meta);
    if (handle->file == NULL) {
        vm_push_error(L, "closed", "%s %s: the file is closed", doing, handle->path);
        lua_error(L);
    }
    if (handle->wait != NULL) {
        vm_push_error(L, "misuse", "%s %s: another task waits for this file", doing, handle->path);
        lua_error(L);
    }
    task_check(L);
    handle->doing = doing;
    return handle;
}

/* From argument `index`, or where the last one ended. */
static void set_position(lua_State *L, int index, struct handle *handle)
{
    if (lua_isnoneornil(L, index))
        return;
    lua_Number offset = luaL_checknumber(L, index);
    luaL_argcheck(L, offset >= 0 && offset <= 9e15, index, "expected bytes");
    handle->position = (uint64_t)offset;
}

/* read(file, most, offset or nil): waits; true, bytes, nil at the end; or false, error */
static int l_read(lua_State *L)
{
    struct handle *handle = check_handle(L, "read");
    lua_Integer most = luaL_checkinteger(L, 2);
    luaL_argcheck(L, most >= 1 && most <= READ_MAX, 2, "expected 1 to 64 MiB");
    set_position(L, 3, handle);
    file_read(handle->file, handle->position, (size_t)most, NULL, on_read);
    return wait_for(L, handle, 1);
}

/* write(file, bytes, offset or nil): waits; true; or false, error */
static int l_write(lua_State *L)
{
    struct handle *handle = check_handle(L, "write");
    struct buf bytes = {0};
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    set_position(L, 3, handle);
    buf_add(&bytes, text, len);
    file_write(handle->file, handle->position, &bytes, on_written);
    return wait_for(L, handle, 1);
}

/* stat(file): waits; true, { size =, modified =, mode =, kind = }; or false, error */
static int l_stat(lua_State *L)
{
    struct handle *handle = check_handle(L, "stat");
    file_stat(handle->file, on_stated);
    return wait_for(L, handle, 1);
}

/* sync(file): waits until it is on the disk; true; or false, error */
static int l_sync(lua_State *L)
{
    struct handle *handle = check_handle(L, "sync");
    file_sync(handle->file, on_done);
    return wait_for(L, handle, 1);
}

/* close(file): waits; true; or false, error, which may be that of a write */
static int l_close(lua_State *L)
{
    struct handle *handle = check_handle(L, "close");
    file_close(handle->file, on_closed);
    return wait_for(L, handle, 1);
}

/* drop(file): closes it without waiting, at any time */
static int l_drop(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, file_meta);
    if (handle->wait == NULL)
        close_handle(handle);
    return 0;
}

/* count(): operations on files under way */
static int l_count(lua_State *L)
{
    lua_pushinteger(L, files_busy(VM_UPVALUE(L)->loop));
    return 1;
}

int luaopen_moonloop_core_file(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", l_open}, {"read", l_read},   {"write", l_write},
                                         {"stat", l_stat}, {"sync", l_sync},   {"close", l_close},
                                         {"drop", l_drop}, {"count", l_count}, {NULL, NULL}};
    luaL_newmetatable(L, file_meta);
    lua_pushcfunction(L, on_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    vm_library(L, functions);
    return 1;
}
