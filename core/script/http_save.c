/*
 * moonloop.core.http.save: an answer, or bytes that are here already, into a file (http/saving.h).
 * Between two waits, which end when progress is to be told, a saving lies in its handle.
 */
#include "http/saving.h"

#include "base/mem.h"
#include "http/fetch.h"
#include "script/http_parts.h"
#include "script/task.h"
#include "script/vm.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

struct save_op {
    struct op op;
    struct handle *handle; /* NULL: of bytes */
    int handle_ref;
    struct saving *saving; /* of bytes; else it is the handle's */
    bool is_complete;
};

void http_save_stop(struct handle *handle)
{
    saving_free(handle->saving);
    handle->saving = NULL;
}

static void release(struct op *op)
{
    struct save_op *wait = (struct save_op *)op;
    saving_free(wait->saving);
    if (wait->handle != NULL) {
        wait->handle->save_op = NULL;
        if (!wait->is_complete) /* cancelled */
            http_give_up(wait->handle);
        luaL_unref(op->task->vm->L, LUA_REGISTRYINDEX, wait->handle_ref);
    }
    free(wait);
}

/* Code `file`, with path and errno. */
static void push_file_error(lua_State *L, const struct saving *saving)
{
    const char *name = strerrorname_np(saving->error);
    vm_push_error(L, "file", "%s %s: %s", saving->doing, saving->path, strerror(saving->error));
    lua_pushstring(L, saving->path);
    lua_setfield(L, -2, "path");
    lua_pushstring(L, name != NULL ? name : "EIO");
    lua_setfield(L, -2, "errno");
}

/* What a wait gives once it is over, or once there is progress to be told. */
static int push_results(lua_State *L, const struct saving *saving, const struct handle *handle)
{
    bool has_fetch_failed =
        saving->is_over && handle != NULL && handle->held.fetch->stage == FETCH_FAILED;
    lua_pushboolean(L, !has_fetch_failed && saving->error == 0);
    if (has_fetch_failed && saving->error == 0)
        http_push_failure(L, handle, handle->held.fetch);
    else if (saving->error != 0)
        push_file_error(L, saving);
    else if (saving->is_over)
        lua_pushnumber(L, (lua_Number)saving->written_bytes);
    else
        lua_pushnil(L);
    return 2;
}

static void complete(struct save_op *wait, struct saving *saving)
{
    struct handle *handle = wait->handle;
    int count = push_results(op_state(&wait->op), saving, handle);
    bool has_failed = saving->error != 0;
    wait->is_complete = true;
    if (handle != NULL && saving->is_over)
        http_save_stop(handle);
    if (handle != NULL && has_failed)
        http_give_up(handle);
    op_complete(&wait->op, count);
}

static bool is_satisfied(const struct saving *saving)
{
    return saving->is_over || (saving->fetch != NULL && fetch_has_progress(saving->fetch));
}

static void on_answer_change(struct saving *saving)
{
    struct handle *handle = saving->owner;
    if (handle->save_op != NULL && is_satisfied(saving))
        complete(handle->save_op, saving);
}

static void on_bytes_change(struct saving *saving)
{
    if (is_satisfied(saving))
        complete(saving->owner, saving);
}

void http_save_changed(struct handle *handle)
{
    saving_go_on(handle->saving);
    on_answer_change(handle->saving);
}

static int wait_for(lua_State *L, struct handle *handle, struct save_op *wait)
{
    wait->op.release = release;
    wait->handle = handle;
    if (handle != NULL) {
        lua_pushvalue(L, 1);
        wait->handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
        handle->save_op = wait;
    }
    return task_wait(L, &wait->op);
}

static int save_bytes(lua_State *L, struct vm *vm, const struct saving_options *options)
{
    struct save_op *wait = MEM_NEW(struct save_op);
    struct buf bytes = {0};
    size_t len;
    const char *text = lua_tolstring(L, 1, &len);
    buf_add(&bytes, text, len);
    wait->saving = saving_new(vm->loop, NULL, &bytes, options, on_bytes_change, wait);
    return wait_for(L, NULL, wait);
}

/* save(fetch or bytes, path, permissions, whether to wait for the disk): waits; true and the bytes
 * that were written; true alone when progress is to be told (call it again); or false, error */
static int l_save(lua_State *L)
{
    struct vm *vm = task_check(L);
    size_t len;
    const char *path = luaL_checklstring(L, 2, &len);
    luaL_argcheck(L, len != 0 && strlen(path) == len, 2, "expected a path");
    lua_Integer mode = luaL_checkinteger(L, 3);
    luaL_argcheck(L, mode >= 0 && mode <= 07777, 3, "expected permissions");
    struct saving_options options = {
        .path = path, .mode = (uint32_t)mode, .is_durable = lua_toboolean(L, 4)};
    if (lua_type(L, 1) == LUA_TSTRING)
        return save_bytes(L, vm, &options);
    struct handle *handle = http_check_handle(L);
    if (handle->saving == NULL)
        handle->saving =
            saving_new(vm->loop, handle->held.fetch, NULL, &options, on_answer_change, handle);
    if (!handle->saving->is_over)
        return wait_for(L, handle, MEM_NEW(struct save_op));
    int count = push_results(L, handle->saving, handle);
    http_save_stop(handle);
    return task_goes_on(L, count);
}

void http_add_save_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"save", l_save}, {NULL, NULL}};
    vm_add_functions(L, functions);
}
