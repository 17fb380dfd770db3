/*
 * moonloop.core.process. A process is userdata that its scope keeps alive until the process is
 * buried, and that lets go of it when the scope ends. Functions that wait return `true, ...` or
 * `false, error`.
 */
#include "script/lib_process.h"

#include "base/mem.h"
#include "loop/child_process.h"
#include "script/process_start.h"
#include "script/task.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char process_meta[] = "moonloop.core.process";
static const char process_gone[] = "the process was ended with the scope that it was started in";

enum wanted { WANTS_CHUNK, WANTS_BYTES, WANTS_LINE, WANTS_ALL, WANTS_ROOM, WANTS_END, WANTS_GONE };

struct handle {
    struct child_process *child; /* NULL: let go */
    struct scope_holding holding;
    struct vm *vm;
    int own_ref;               /* of itself, while its scope holds it */
    int bytes_ref;             /* what is being written */
    bool closes_input;         /* once that is written */
    struct link waits;         /* struct process_op */
    struct child_state at_end; /* of one that was let go */
};

struct process_op {
    struct op op;
    struct link link;
    struct handle *handle;
    int handle_ref; /* keeps it from the collector */
    enum wanted wanted;
    enum child_stream stream;
    size_t count;   /* bytes: how many, or the limit */
    size_t scanned; /* no line ends before */
    bool is_complete;
};

/* ---- what a wait gives ---- */

static bool is_of_output(enum wanted wanted)
{
    return wanted <= WANTS_ALL;
}

/* Bytes that a read may take now; -1: not enough yet; -2: more than it takes. */
static ptrdiff_t readable(struct process_op *wait)
{
    const struct child_process *child = wait->handle->child;
    struct str bytes = child_output(child, wait->stream);
    bool has_ended = child_output_has_ended(child, wait->stream);
    switch (wait->wanted) {
    case WANTS_CHUNK:
        return bytes.len != 0 || has_ended ? (ptrdiff_t)bytes.len : -1;
    case WANTS_BYTES:
        if (bytes.len >= wait->count)
            return (ptrdiff_t)wait->count;
        return has_ended ? (ptrdiff_t)bytes.len : -1;
    case WANTS_LINE: {
        const char *from = bytes.ptr + wait->scanned;
        const char *end =
            bytes.len > wait->scanned ? memchr(from, '\n', bytes.len - wait->scanned) : NULL;
        wait->scanned = bytes.len;
        if (end != NULL && (size_t)(end - bytes.ptr) <= wait->count)
            return end - bytes.ptr + 1;
        break;
    }
    default:
        break;
    }
    if (bytes.len > wait->count)
        return -2;
    return has_ended ? (ptrdiff_t)bytes.len : -1;
}

static void push_state(lua_State *L, const struct child_state *state)
{
    if (state->end.status >= 0)
        lua_pushinteger(L, state->end.status);
    else
        lua_pushnil(L);
    if (state->end.signal != 0)
        process_push_signal(L, state->end.signal);
    else
        lua_pushnil(L);
    lua_pushnumber(L, (lua_Number)state->duration_us / 1e6);
    lua_pushboolean(L, state->has_timed_out);
    if (state->is_over[CHILD_STDOUT] || state->is_over[CHILD_STDERR])
        lua_pushstring(L, state->is_over[CHILD_STDOUT] ? "stdout" : "stderr");
    else
        lua_pushnil(L);
}

/* The results of a wait on L, which is the VM's own stack or that of who asks; 0: not yet. */
static int push_results(lua_State *L, struct process_op *wait)
{
    struct child_process *child = wait->handle->child;
    if (is_of_output(wait->wanted)) {
        ptrdiff_t count = readable(wait);
        if (count == -1)
            return 0;
        lua_pushboolean(L, count >= 0);
        if (count < 0) {
            vm_push_error(L, "too_large", "process: %s has %s of more than %f bytes",
                          wait->stream == CHILD_STDOUT ? "stdout" : "stderr",
                          wait->wanted == WANTS_LINE ? "a line" : "a rest", (double)wait->count);
            return 2;
        }
        if (count == 0 && (wait->wanted != WANTS_BYTES || wait->count != 0) &&
            wait->wanted != WANTS_ALL)
            return 1;
        lua_pushlstring(L, child_output(child, wait->stream).ptr, (size_t)count);
        child_take(child, wait->stream, (size_t)count);
        return 2;
    }
    struct child_state state = child_state(child);
    if (wait->wanted == WANTS_END ? !state.has_ended : !state.is_gone)
        return 0;
    lua_pushboolean(L, true);
    push_state(L, &state);
    return 6;
}

/* ---- waiting ---- */

static void drop_bytes(struct handle *handle)
{
    luaL_unref(handle->vm->L, LUA_REGISTRYINDEX, handle->bytes_ref);
    handle->bytes_ref = LUA_NOREF;
}

static void release(struct op *op)
{
    struct process_op *wait = (struct process_op *)op;
    struct handle *handle = wait->handle;
    link_remove(&wait->link);
    if (wait->wanted == WANTS_ROOM && !wait->is_complete) { /* half of it may be written */
        child_close_input(handle->child);
        drop_bytes(handle);
    }
    if (is_of_output(wait->wanted))
        child_want_less(handle->child, wait->stream);
    luaL_unref(handle->vm->L, LUA_REGISTRYINDEX, wait->handle_ref);
    free(wait);
}

/* `wait` may be gone with the handle when this returns. */
static void complete(struct process_op *wait, int nresults)
{
    wait->is_complete = true;
    op_complete(&wait->op, nresults);
}

static struct process_op *find_wait(struct handle *handle, enum wanted first, enum wanted last,
                                    enum child_stream stream)
{
    for (struct link *at = handle->waits.next; at != &handle->waits; at = at->next) {
        struct process_op *wait = LIST_ENTRY(at, struct process_op, link);
        if (wait->wanted >= first && wait->wanted <= last &&
            (!is_of_output(wait->wanted) || wait->stream == stream))
            return wait;
    }
    return NULL;
}

static void answer_reader(struct handle *handle, enum child_stream stream)
{
    struct process_op *wait = find_wait(handle, WANTS_CHUNK, WANTS_ALL, stream);
    int count = wait != NULL ? push_results(op_state(&wait->op), wait) : 0;
    if (count != 0)
        complete(wait, count);
}

static void push_write_result(lua_State *L, int status)
{
    lua_pushboolean(L, status == 0);
    if (status != 0)
        vm_push_error(L, "closed", "process: nobody reads its standard input any more");
}

static void on_written(struct handle *handle)
{
    struct process_op *wait = find_wait(handle, WANTS_ROOM, WANTS_ROOM, CHILD_STDOUT);
    int status = child_written(handle->child);
    drop_bytes(handle);
    if (wait != NULL) {
        push_write_result(op_state(&wait->op), status);
        complete(wait, status == 0 ? 1 : 2);
    } else if (handle->closes_input) {
        child_close_input(handle->child);
    }
}

/* Several may wait for the same; any of them may, once resumed, end the scope or drop the handle.
 */
static void answer_all(struct handle *handle, enum wanted wanted)
{
    lua_State *L = handle->vm->L;
    struct process_op *wait = find_wait(handle, wanted, wanted, CHILD_STDOUT);
    if (wait == NULL)
        return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, wait->handle_ref);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    do {
        complete(wait, push_results(op_state(&wait->op), wait));
    } while (handle->child != NULL &&
             (wait = find_wait(handle, wanted, wanted, CHILD_STDOUT)) != NULL);
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
}

static void leave_scope(struct handle *handle)
{
    link_remove(&handle->holding.link);
    luaL_unref(handle->vm->L, LUA_REGISTRYINDEX, handle->own_ref);
    handle->own_ref = LUA_NOREF;
}

static void on_news(void *data, enum child_news news)
{
    struct handle *handle = data;
    switch (news) {
    case CHILD_HAS_STDOUT:
        answer_reader(handle, CHILD_STDOUT);
        break;
    case CHILD_HAS_STDERR:
        answer_reader(handle, CHILD_STDERR);
        break;
    case CHILD_HAS_WRITTEN:
        on_written(handle);
        break;
    case CHILD_HAS_ENDED:
        answer_all(handle, WANTS_END);
        break;
    case CHILD_IS_BURIED:
        leave_scope(handle);
        break;
    case CHILD_IS_GONE:
        answer_all(handle, WANTS_GONE);
        break;
    }
}

/* The op of the running task. The process is at `index`. */
static struct process_op *wait_new(lua_State *L, int index, struct handle *handle,
                                   enum wanted wanted)
{
    struct process_op *wait = MEM_NEW(struct process_op);
    wait->op.release = release;
    wait->handle = handle;
    wait->wanted = wanted;
    lua_pushvalue(L, index);
    wait->handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    link_init(&wait->link);
    link_append(&handle->waits, &wait->link);
    return wait;
}

/* ---- life ---- */

static void let_go(struct handle *handle)
{
    struct child_process *child = handle->child;
    if (child == NULL)
        return;
    handle->at_end = child_state(child);
    child_let_go(child);
    handle->child = NULL;
    drop_bytes(handle);
}

/* Runs while a task does, or while the VM's tasks are dropped: waits that end here are only queued.
 */
static void on_scope_end(struct scope_holding *holding)
{
    struct handle *handle = LIST_ENTRY(holding, struct handle, holding);
    while (!link_is_alone(&handle->waits)) {
        struct process_op *wait = LIST_ENTRY(handle->waits.next, struct process_op, link);
        op_fail(&wait->op, "closed", "%s", process_gone);
    }
    let_go(handle);
    leave_scope(handle);
}

static int on_gc(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, process_meta);
    let_go(handle);
    leave_scope(handle);
    return 0;
}

static struct handle *push_handle(lua_State *L, struct vm *vm)
{
    struct handle *handle = lua_newuserdata(L, sizeof(*handle));
    *handle = (struct handle){.vm = vm, .own_ref = LUA_NOREF, .bytes_ref = LUA_NOREF};
    link_init(&handle->waits);
    link_init(&handle->holding.link);
    handle->holding.on_scope_end = on_scope_end;
    if (luaL_newmetatable(L, process_meta) != 0) {
        lua_pushcfunction(L, on_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return handle;
}

/* start{ argv =, env =, cwd =, stdin =, stdout =, stderr =, timeout =, grace =, max_capture =,
 * max_processes = }: a process; or nil, code and message. Raises outside of a task. */
static int l_start(lua_State *L)
{
    struct vm *vm = task_check(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct handle *handle = push_handle(L, vm);
    struct child_options options = {.on_news = on_news, .data = handle};
    handle->child = process_start(L, 1, vm->loop, &options);
    if (handle->child == NULL)
        return 3; /* what process_start has pushed */
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    handle->own_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    scope_hold(vm->current->scope, &handle->holding);
    return 1;
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
    if (find_wait(handle, WANTS_CHUNK, WANTS_ALL, stream) != NULL) {
        vm_push_error(L, "misuse", "process: another task reads this output");
        return lua_error(L);
    }
    child_want(handle->child, stream, (size_t)count + (wanted != WANTS_BYTES));
    struct process_op *wait = wait_new(L, 1, handle, wanted);
    wait->stream = stream;
    wait->count = (size_t)count;
    int nresults = push_results(L, wait);
    if (nresults == 0)
        return task_wait(L, &wait->op);
    wait->op.release(&wait->op);
    return nresults;
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
        return task_wait(L, &wait_new(L, 1, handle, WANTS_ROOM)->op);
    push_write_result(L, status < 0 ? status : 0);
    return status < 0 ? 2 : 1;
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
        push_state(L, &handle->at_end);
        return 6;
    }
    task_check(L);
    check_handle(L);
    struct process_op *wait = wait_new(L, 1, handle, lua_toboolean(L, 2) ? WANTS_GONE : WANTS_END);
    int nresults = push_results(L, wait);
    if (nresults == 0)
        return task_wait(L, &wait->op);
    wait->op.release(&wait->op);
    return nresults;
}

/* state(process): "running" or "ended", status or nil, signal or nil, seconds, ... as wait */
static int l_state(lua_State *L)
{
    struct handle *handle = luaL_checkudata(L, 1, process_meta);
    struct child_state state = handle->child != NULL ? child_state(handle->child) : handle->at_end;
    lua_pushstring(L, state.has_ended || handle->child == NULL ? "ended" : "running");
    push_state(L, &state);
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
        on_scope_end(&handle->holding);
    return 0;
}

int luaopen_moonloop_core_process(lua_State *L)
{
    static const luaL_Reg functions[] = {{"start", l_start},
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
