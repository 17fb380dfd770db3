/*
 * The table by which Lua knows a task: whoever waits for the task finds there what became of it.
 */
#include "script/task_parts.h"

void task_set_handle(struct task *task, lua_State *L)
{
    lua_rawseti(L, LUA_REGISTRYINDEX, task->handle_slot);
    task->handle_ref = task->handle_slot;
}

/* Moves results or the failure into the handle on top of L: [1..n] and n; or err, site and state.
 */
static void fill_handle(struct task *task, lua_State *L)
{
    lua_State *co = task->co;
    if (task->end_status == TASK_DONE) {
        if (task->has_one_result)
            lua_settop(co, 1);
        int count = lua_gettop(co);
        if (count != 1) { /* as it was made for */
            lua_pushinteger(L, count);
            lua_setfield(L, -2, "n");
        }
        for (int i = count; i > 0; i--) {
            lua_xmove(co, L, 1);
            lua_rawseti(L, -2, i);
        }
    } else {
        task_push_failure(task, L);
        lua_setfield(L, -2, "err");
        lua_pushfstring(L, "%s:%d", task->site, task->site_line);
        lua_setfield(L, -2, "site");
        lua_pushstring(L, task->end_status == TASK_FAILED ? "failed" : "cancelled");
        lua_setfield(L, -2, "state");
    }
    lua_pushboolean(L, false);
    lua_rawseti(L, -2, 0); /* no task behind it any more */
}

void task_end_handle(struct task *task)
{
    lua_State *L = task->vm->L;
    struct scope *home = task->home;
    if (task->handle_ref == LUA_NOREF)
        return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->handle_ref);
    lua_pushboolean(L, false);
    lua_rawseti(L, LUA_REGISTRYINDEX, task->handle_slot);
    task->handle_ref = LUA_NOREF;
    fill_handle(task, L);
    /* Before the siblings are cancelled: they see it. */
    bool is_seen = wait_queue_wake_all(&task->ended, L, 0) != 0;
    if (task->end_status == TASK_FAILED && home != NULL) {
        lua_getfield(L, -1, "err");
        if (home->fails_fast)
            failure_end_scope(home, L);
        else if (!is_seen && home == &home->owner->root && !home->is_cancelled)
            failure_hold(home, L);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}
