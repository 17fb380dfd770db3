/*
 * What tasks wait for, and the news that ends their waits.
 */
#include "script/process_parts.h"

#include "base/mem.h"
#include "script/process_start.h"

#include <stdlib.h>
#include <string.h>

const char process_gone[] = "the process was ended with the scope that it was started in";

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

void process_push_state(lua_State *L, const struct child_state *state)
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

/* The process, or why there is none; 0: it is being started. */
static int push_start(lua_State *L, const struct process_op *wait)
{
    enum launch_stage stage;
    int status = child_start_status(wait->handle->child, &stage);
    if (status == 1)
        return 0;
    if (status == 0) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, wait->handle_ref);
        return 1;
    }
    lua_pushnil(L);
    lua_pushinteger(L, (lua_Integer)stage);
    lua_pushinteger(L, -status);
    return 3;
}

/* The results of a wait on L, which is the VM's own stack or that of who asks; 0: not yet. */
int process_push_results(lua_State *L, struct process_op *wait)
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
    if (wait->wanted == WANTS_START)
        return push_start(L, wait);
    struct child_state state = child_state(child);
    if (wait->wanted == WANTS_END ? !state.has_ended : !state.is_gone)
        return 0;
    lua_pushboolean(L, true);
    process_push_state(L, &state);
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
    if (wait->wanted == WANTS_START && !wait->is_complete) { /* nobody will ever have it */
        process_let_go(handle);
        process_leave_scope(handle);
    }
    free(wait);
}

/* `wait` may be gone with the handle when this returns. */
static void complete(struct process_op *wait, int nresults)
{
    wait->is_complete = true;
    op_complete(&wait->op, nresults);
}

struct process_op *process_find_wait(struct handle *handle, enum wanted first, enum wanted last,
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
    struct process_op *wait = process_find_wait(handle, WANTS_CHUNK, WANTS_ALL, stream);
    int count = wait != NULL ? process_push_results(op_state(&wait->op), wait) : 0;
    if (count != 0)
        complete(wait, count);
}

void process_push_write_result(lua_State *L, int status)
{
    lua_pushboolean(L, status == 0);
    if (status != 0)
        vm_push_error(L, "closed", "process: nobody reads its standard input any more");
}

static void on_written(struct handle *handle)
{
    struct process_op *wait = process_find_wait(handle, WANTS_ROOM, WANTS_ROOM, CHILD_STDOUT);
    int status = child_written(handle->child);
    drop_bytes(handle);
    if (wait != NULL) {
        process_push_write_result(op_state(&wait->op), status);
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
    struct process_op *wait = process_find_wait(handle, wanted, wanted, CHILD_STDOUT);
    if (wait == NULL)
        return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, wait->handle_ref);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    do {
        complete(wait, process_push_results(op_state(&wait->op), wait));
    } while (handle->child != NULL &&
             (wait = process_find_wait(handle, wanted, wanted, CHILD_STDOUT)) != NULL);
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
}

void process_leave_scope(struct handle *handle)
{
    link_remove(&handle->holding.link);
    luaL_unref(handle->vm->L, LUA_REGISTRYINDEX, handle->own_ref);
    handle->own_ref = LUA_NOREF;
}

static void on_started(struct handle *handle)
{
    struct process_op *wait = process_find_wait(handle, WANTS_START, WANTS_START, CHILD_STDOUT);
    enum launch_stage stage;
    int status = child_start_status(handle->child, &stage);
    int count = wait != NULL ? process_push_results(op_state(&wait->op), wait) : 0;
    if (status < 0) {
        process_let_go(handle);
        process_leave_scope(handle); /* the wait keeps it from the collector */
    }
    if (count != 0)
        complete(wait, count);
}

void process_on_news(void *data, enum child_news news)
{
    struct handle *handle = data;
    switch (news) {
    case CHILD_HAS_STARTED:
        on_started(handle);
        break;
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
        process_leave_scope(handle);
        break;
    case CHILD_IS_GONE:
        answer_all(handle, WANTS_GONE);
        break;
    }
}

/* The op of the running task. The process is at `index`. */
struct process_op *process_wait_new(lua_State *L, int index, struct handle *handle,
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

void process_let_go(struct handle *handle)
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
void process_on_scope_end(struct scope_holding *holding)
{
    struct handle *handle = LIST_ENTRY(holding, struct handle, holding);
    while (!link_is_alone(&handle->waits)) {
        struct process_op *wait = LIST_ENTRY(handle->waits.next, struct process_op, link);
        op_fail(&wait->op, "closed", "%s", process_gone);
    }
    process_let_go(handle);
    process_leave_scope(handle);
}
