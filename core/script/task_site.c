/*
 * Places in a user's files, for names, tracebacks and errors: where a task was spawned, where it
 * waits. Frames of moonloop's own Lua are no place a user would look at.
 */
#include "script/task_parts.h"

#include <stdio.h>
#include <string.h>

enum { LEVELS_SEARCHED = 12 };

static bool is_ours(const struct vm *vm, const lua_Debug *where)
{
    size_t len = strlen(vm->lua_dir);
    return where->source[0] == '@' && strncmp(where->source + 1, vm->lua_dir, len) == 0 &&
           where->source[len + 1] == '/';
}

/* The innermost frame of a user's own on that stack, from `level` on. */
static bool find_user_frame(const struct vm *vm, lua_State *L, int level, lua_Debug *where)
{
    for (int end = level + LEVELS_SEARCHED; level < end && lua_getstack(L, level, where) != 0;
         level++)
        if (lua_getinfo(L, "Sl", where) != 0 && *where->what != 'C' && !is_ours(vm, where))
            return true;
    return false;
}

/* The same, with the function of ours that it has called in `called`, "" for none. */
static bool find_call(const struct vm *vm, lua_State *L, lua_Debug *where,
                      char called[TASK_SITE_BYTES])
{
    *called = '\0';
    for (int level = 0; level < LEVELS_SEARCHED && lua_getstack(L, level, where) != 0; level++) {
        if (lua_getinfo(L, "Sln", where) == 0 || *where->what == 'C')
            continue;
        if (!is_ours(vm, where))
            return true;
        if (where->name != NULL)
            snprintf(called, TASK_SITE_BYTES, "%s", where->name);
    }
    return false;
}

static void copy_site(const lua_Debug *where, char site[TASK_SITE_BYTES], int *line)
{
    memcpy(site, where->short_src, TASK_SITE_BYTES);
    *line = where->currentline;
}

bool task_find_site(lua_State *L, int level, char site[TASK_SITE_BYTES], int *line)
{
    lua_Debug where;
    if (!find_user_frame(VM_UPVALUE(L), L, level, &where))
        return false;
    copy_site(&where, site, line);
    return true;
}

bool task_find_call(lua_State *L, char site[TASK_SITE_BYTES], int *line,
                    char called[TASK_SITE_BYTES])
{
    lua_Debug where;
    if (!find_call(VM_UPVALUE(L), L, &where, called))
        return false;
    copy_site(&where, site, line);
    return true;
}

/* Where a task stands whose frames are those of `at`, its own coroutine or a user's. */
static void push_where(lua_State *L, lua_State *at, const struct task *task)
{
    lua_Debug where;
    char called[TASK_SITE_BYTES];
    if (find_call(task->vm, at, &where, called))
        lua_pushfstring(L, "%s:%d", where.short_src, where.currentline);
    else if (task->site[0] != '\0') /* a tail call has left no frame of the user's */
        lua_pushfstring(L, "what was spawned at %s:%d", task->site, task->site_line);
    else
        task_push_name(L, task);
    if (*called != '\0') {
        lua_pushfstring(L, " in %s", called);
        lua_concat(L, 2);
    }
}

void task_push_where(lua_State *L, const struct task *task)
{
    push_where(L, task->op != NULL ? task->waiting_in : task->co, task);
}

void task_push_reason(lua_State *L, const struct task *task)
{
    const struct vm *vm = task->vm;
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->interrupted_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->scope->reason_ref);
    if (vm->current == task)
        push_where(L, L, task);
    else if (task->is_started)
        task_push_where(L, task);
    else
        lua_pushfstring(L, "%s:%d before it began", task->site, task->site_line);
    lua_call(L, 2, 1); /* copies a table: it can only fail when memory is out */
}
