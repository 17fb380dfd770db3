/*
 * moonloop.core.process. A process is userdata that its scope keeps alive until the process is
 * buried, and that lets go of it when the scope ends. Functions that wait return `true, ...` or
 * `false, error`.
 */
#include "script/lib_process.h"

#include "script/process_parts.h"
#include "script/process_start.h"

static const char process_meta[] = "moonloop.core.process";

/* ---- life ---- */

static int on_gc(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, process_meta);
    process_let_go(handle);
    process_leave_scope(handle);
    return 0;
}

static struct handle *push_handle(lua_State *L, struct vm *vm)
{
    struct handle *handle = lua_newuserdata(L, sizeof(*handle));
    *handle = (struct handle){.vm = vm, .own_ref = LUA_NOREF, .bytes_ref = LUA_NOREF};
    link_init(&handle->waits);
    link_init(&handle->holding.link);
    handle->holding.on_scope_end = process_on_scope_end;
    if (luaL_newmetatable(L, process_meta) != 0) {
        lua_pushcfunction(L, on_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return handle;
}

/* start{ argv =, env =, cwd =, stdin =, stdout =, stderr =, timeout =, grace =, max_capture =,
 * max_processes = }: waits until it has begun; a process, or nil and what start_reason takes; nil
 * alone: max_processes are there. Raises outside of a task. */
static int l_start(lua_State *L)
{
    struct vm *vm = task_check(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct handle *handle = push_handle(L, vm);
    struct child_options options = {.on_news = process_on_news, .data = handle};
    handle->child = process_start(L, 1, vm->loop, &options);
    if (handle->child == NULL)
        return task_goes_on(L, 3); /* what process_start has pushed */
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    handle->own_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    scope_hold(vm->current->scope, &handle->holding);
    struct process_op *wait = process_wait_new(L, 2, handle, WANTS_START);
    int nresults = process_push_results(L, wait);
    if (nresults == 0)
        return task_wait(L, &wait->op);
    wait->is_complete = true;
    wait->op.release(&wait->op);
    return task_goes_on(L, nresults);
}

static struct handle *check_handle(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, process_meta);
    if (handle->child == NULL) {
        vm_push_error(L, "closed", "%s", process_gone);
        lua_error(L);
    }
    return handle;
}

/* ---- reading and writing ---- */

/* read(process, 1 or 2, "chunk", "bytes", "line" or "all", bytes): waits; true and bytes (a line
 * with its end), or true alone at the end; or false, error */
static int l_read(lua_State *L)
{
    static const char *const modes[] = {"chunk", "bytes", "line", "all", NULL};
    task_check(L);
    struct handle *handle = check_handle(L);
    enum child_stream stream = luaL_checkinteger(L, 2) == 2 ? CHILD_STDERR : CHILD_STDOUT;
    enum wanted wanted = (enum wanted)luaL_checkoption(L, 3, NULL, modes);
    lua_Number count = luaL_optnumber(L, 4, 0);
    luaL_argcheck(L, count >= 0 && count <= 9e15, 4, "expected bytes");
    if (process_find_wait(handle, WANTS_CHUNK, WANTS_ALL, stream) != NULL) {
        vm_push_error(L, "misuse", "process: another task reads this output");
        return lua_error(L);
    }
    child_want(handle->child, stream, (size_t)count + (wanted != WANTS_BYTES));
    struct process_op *wait = process_wait_new(L, 1, handle, wanted);
    wait->stream = stream;
    wait->count = (size_t)count;
    int nresults = process_push_results(L, wait);
    if (nresults == 0)
        return task_wait(L, &wait->op);
    wait->op.release(&wait->op);
    return task_goes_on(L, nresults);
}

/* Begins to write the string at 2: as child_write. */
static int write_string(lua_State *L, struct handle *handle)
{
    struct str bytes;
    bytes.ptr = luaL_checklstring(L, 2, &bytes.len);
    if (handle->bytes_ref != LUA_NOREF) {
        vm_push_error(L, "misuse", "process: another task writes to this process");
        lua_error(L);
    }
    lua_pushvalue(L, 2);
    int bytes_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    int status = child_write(handle->child, bytes);
    if (status == 0)
        handle->bytes_ref = bytes_ref;
    else
        luaL_unref(L, LUA_REGISTRYINDEX, bytes_ref);
    return status;
}

/* write(process, bytes): waits until the pipe has taken them; true, or false and an error */
static int l_write(lua_State *L)
{
    task_check(L);
    struct handle *handle = check_handle(L);
    int status = write_string(L, handle);
    if (status == 0)
        return task_wait(L, &process_wait_new(L, 1, handle, WANTS_ROOM)->op);
    process_push_write_result(L, status < 0 ? status : 0);
    return task_goes_on(L, status < 0 ? 2 : 1);
}

/* feed(process, bytes): writes them without being waited for, then ends its standard input */
static int l_feed(lua_State *L)
{
    struct handle *handle = check_handle(L);
    handle->closes_input = true;
    if (write_string(L, handle) != 0)
        child_close_input(handle->child);
    return 0;
}

/* close_input(process): what is being written is given up; nothing when it was closed */
static int l_close_input(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, process_meta);
    if (handle->child != NULL)
        child_close_input(handle->child);
    return 0;
}

/* take(process, 1 or 2): what was read and not taken. Does not wait */
static int l_take(lua_State *L)
{
    struct handle *handle = check_handle(L);
    enum child_stream stream = luaL_checkinteger(L, 2) == 2 ? CHILD_STDERR : CHILD_STDOUT;
    struct str bytes = child_output(handle->child, stream);
    lua_pushlstring(L, bytes.len != 0 ? bytes.ptr : "", bytes.len);
    child_take(handle->child, stream, bytes.len);
    return 1;
}

/* ---- its end ---- */

/* wait(process, whether for its outputs as well): waits; true, status or nil, signal or nil,
 * seconds, whether it has timed out, "stdout" or "stderr" when that was too much; or false, error
 */
static int l_wait(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, process_meta);
    if (handle->child == NULL && handle->at_end.has_ended) {
        lua_pushboolean(L, true);
        process_push_state(L, &handle->at_end);
        return 6;
    }
    task_check(L);
    check_handle(L);
    struct process_op *wait =
        process_wait_new(L, 1, handle, lua_toboolean(L, 2) ? WANTS_GONE : WANTS_END);
    int nresults = process_push_results(L, wait);
    if (nresults == 0)
        return task_wait(L, &wait->op);
    wait->op.release(&wait->op);
    return task_goes_on(L, nresults);
}

/* state(process): "running" or "ended", status or nil, signal or nil, seconds, ... as wait */
static int l_state(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, process_meta);
    struct child_state state = handle->child != NULL ? child_state(handle->child) : handle->at_end;
    lua_pushstring(L, state.has_ended || handle->child == NULL ? "ended" : "running");
    process_push_state(L, &state);
    return 6;
}

static int l_pid(lua_State *L)
{
    lua_pushinteger(L, child_pid(check_handle(L)->child));
    return 1;
}

/* kill(process, number): to its group; false when it has ended */
static int l_kill(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, process_meta);
    int number = luaL_checkint(L, 2);
    bool is_running = handle->child != NULL && !child_state(handle->child).has_ended;
    if (is_running)
        child_signal(handle->child, number);
    lua_pushboolean(L, is_running);
    return 1;
}

/* let_go(process): ends it now, if it runs, without waiting */
static int l_let_go(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, process_meta);
    if (handle->child != NULL)
        process_on_scope_end(&handle->holding);
    return 0;
}

int luaopen_moonloop_core_process(lua_State *L)
{
    static const luaL_Reg functions[] = {{"start", l_start},
                                         {"start_reason", process_start_reason},
                                         {"read", l_read},
                                         {"write", l_write},
                                         {"feed", l_feed},
                                         {"close_input", l_close_input},
                                         {"take", l_take},
                                         {"wait", l_wait},
                                         {"state", l_state},
                                         {"pid", l_pid},
                                         {"kill", l_kill},
                                         {"let_go", l_let_go},
                                         {"signal", process_signal_number},
                                         {"environment", process_environment},
                                         {NULL, NULL}};
    vm_library(L, functions);
    return 1;
}
