/*
 * What becomes of a failed task's error: it gets its traceback across the places of the spawns,
 * ends the scope that the task ran in, or is held for whoever waits and logged when nobody did.
 */
#include "base/log.h"
#include "base/mem.h"
#include "http/request.h"
#include "script/exchange.h"
#include "script/job.h"
#include "script/task_parts.h"

enum {
    SITES_SHOWN = 16,   /* spawn sites in a traceback */
    FAILURES_HELD = 64, /* per task, for those who may yet wait for them */
};

/* "\nspawned at apps/a.lua:12" for the task and those above it. */
static void push_sites(lua_State *L, const struct task *task)
{
    int count = 0;
    lua_pushliteral(L, "");
    for (const struct task *at = task; at != NULL && at->site[0] != '\0';
         at = at->home != NULL ? at->home->owner : NULL) {
        if (++count > SITES_SHOWN) {
            lua_pushliteral(L, "\nspawned at ... and further up");
            lua_concat(L, 2);
            return;
        }
        lua_pushfstring(L, "\nspawned at %s:%d", at->site, at->site_line);
        lua_concat(L, 2);
    }
}

void task_push_traceback(struct task *task, lua_State *L)
{
    if (task->is_started)
        luaL_traceback(L, task->co, NULL, 0);
    else
        lua_pushliteral(L, "(it had not begun)");
    push_sites(L, task);
    lua_concat(L, 2);
}

void task_push_failure(struct task *task, lua_State *L)
{
    lua_State *main = task->vm->L;
    lua_rawgeti(main, LUA_REGISTRYINDEX, task->vm->wrap_error_ref);
    lua_pushvalue(task->co, -1);
    lua_xmove(task->co, main, 1);
    if (task->is_started)
        luaL_traceback(main, task->co, NULL, 0);
    else
        lua_pushliteral(main, "(it had not begun)");
    push_sites(main, task);
    if (vm_pcall(main, 3, 1) != 0)
        ENSURE(lua_gettop(main) > 0); /* its own error is as good as any */
    if (L != main)
        lua_xmove(main, L, 1);
}

static struct str field_of(lua_State *L, int index, const char *name)
{
    struct str value = {0};
    lua_pushstring(L, name);
    lua_rawget(L, index);
    if (lua_type(L, -1) == LUA_TSTRING)
        value.ptr = lua_tolstring(L, -1, &value.len);
    return value; /* the table keeps it */
}

/* Of a child that nobody waited for: its handle is on top of the stack, its error goes above. */
static void log_failure(struct task *parent, lua_State *L)
{
    int err = lua_gettop(L) + 1;
    struct exchange *exchange = parent->exchange;
    struct log_field fields[JOB_LOG_FIELDS + 3];
    size_t count = job_log_fields(parent, fields);
    fields[count++] = (struct log_field){"spawned_at", field_of(L, err - 1, "site")};
    lua_pop(L, 1);
    lua_getfield(L, err - 1, "err");
    if (exchange != NULL && exchange->request != NULL &&
        exchange->serial == parent->exchange_serial)
        fields[count++] =
            (struct log_field){"request_id", {exchange->request->id, REQUEST_ID_BYTES}};
    if (lua_istable(L, err)) {
        fields[count] = (struct log_field){"traceback", field_of(L, err, "traceback")};
        count += fields[count].value.len != 0;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, parent->vm->message_ref);
    lua_pushvalue(L, err);
    if (vm_pcall(L, 1, 1) == 0 && lua_isstring(L, -1))
        log_with(LOG_ERROR, fields, count, "a task failed and nobody waited for it: %s",
                 lua_tostring(L, -1));
    lua_settop(L, err);
}

void failures_tell(struct task *task)
{
    lua_State *L = task->vm->L;
    if (!task->root.has_failure)
        return;
    int top = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->root.failure_ref);
    int count = (int)lua_objlen(L, top + 1);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, top + 1, i);
        lua_getfield(L, top + 2, "is_seen");
        bool is_seen = lua_toboolean(L, -1) != 0;
        lua_pop(L, 1);
        if (!is_seen)
            log_failure(task, L);
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
    luaL_unref(L, LUA_REGISTRYINDEX, task->root.failure_ref);
    task->root.failure_ref = LUA_NOREF;
    task->root.has_failure = false;
}

/* Drops the held ones that a wait has raised; how many are left. */
static int forget_seen(struct scope *home, lua_State *L)
{
    int top = lua_gettop(L), left = 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, home->failure_ref);
    int count = (int)lua_objlen(L, top + 1);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, top + 1, i);
        lua_pushnil(L);
        lua_rawseti(L, top + 1, i);
        lua_getfield(L, top + 2, "is_seen");
        bool is_seen = lua_toboolean(L, -1) != 0;
        lua_pop(L, 1);
        if (is_seen)
            lua_pop(L, 1);
        else
            lua_rawseti(L, top + 1, ++left);
    }
    lua_settop(L, top);
    return left;
}

void failure_hold(struct scope *home, lua_State *L)
{
    if (!home->has_failure) {
        lua_newtable(L);
        home->failure_ref = luaL_ref(L, LUA_REGISTRYINDEX);
        home->has_failure = true;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, home->failure_ref);
    int count = (int)lua_objlen(L, -1);
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, count + 1);
    lua_pop(L, 1);
    if (count + 1 >= FAILURES_HELD && forget_seen(home, L) >= FAILURES_HELD)
        failures_tell(home->owner);
}

/* The value on top of L goes to the end of the list below it. */
static void append(lua_State *L)
{
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
}

/* The first failure: the siblings are cancelled. It is on top of L. */
static void fail_scope(struct scope *home, lua_State *L)
{
    int err = lua_gettop(L);
    lua_pushvalue(L, err);
    home->failure_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    home->has_failure = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, home->owner->vm->message_ref);
    lua_pushvalue(L, err);
    if (vm_pcall(L, 1, 1) != 0 || !lua_isstring(L, -1))
        lua_pushliteral(L, "?");
    vm_push_error(L, "cancelled", "another task of the same scope failed: %s", lua_tostring(L, -1));
    lua_pushvalue(L, err);
    lua_setfield(L, -2, "cause");
    scope_cancel(home, L);
}

/* A later one, on top of L, hangs on the first. */
static void attach_to_failure(const struct scope *home, lua_State *L)
{
    int err = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, home->failure_ref);
    if (!lua_istable(L, -1) || lua_rawequal(L, -1, err))
        return;
    lua_pushliteral(L, "others");
    lua_rawget(L, -2);
    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushliteral(L, "others");
        lua_pushvalue(L, -2);
        lua_rawset(L, -4);
    }
    lua_pushvalue(L, err);
    append(L);
}

/* One in the clean-up of a scope that was cancelled for another reason: whoever leaves it looks. */
static void hold_late(struct scope *home, lua_State *L)
{
    int err = lua_gettop(L);
    if (home->failure_ref == LUA_NOREF) {
        lua_newtable(L);
        home->failure_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, home->failure_ref);
    lua_pushvalue(L, err);
    append(L);
}

void failure_end_scope(struct scope *home, lua_State *L)
{
    int err = lua_gettop(L);
    if (home->has_failure)
        attach_to_failure(home, L);
    else if (home->is_cancelled)
        hold_late(home, L);
    else
        fail_scope(home, L);
    lua_settop(L, err);
}
