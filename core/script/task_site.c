/*
 * Places in a user's files, for names, tracebacks and errors: where a task was spawned, where it
 * waits. Frames of moonloop's own Lua are no place a user would look at.
 */
#include "script/task_parts.h"

#include <string.h>

enum { LEVELS_SEARCHED = 12 };

static bool is_ours(const struct vm *vm, const lua_Debug *where)
{
    size_t len = strlen(vm->lua_dir);
    return where->source[0] == '@' && strncmp(where->source + 1, vm->lua_dir, len) == 0 &&
           where->source[len + 1] == '/';
}

/* The innermost frame of a user's own on that stack; the function of ours that it has called is in
 * `called`, "" for none. */
static bool find_user_frame(const struct vm *vm, lua_State *L, lua_Debug *where,
                            char called[TASK_SITE_BYTES])
{
    *called = '\0';
    for (int level = 0; level < LEVELS_SEARCHED && lua_getstack(L, level, where) != 0; level++) {
        if (lua_getinfo(L, "Sln", where) == 0)
            continue;
        bool is_c = *where->what == 'C';
        if (!is_c && !is_ours(vm, where))
            return true;
        if (!is_c && where->name != NULL) {
            strncpy(called, where->name, TASK_SITE_BYTES - 1);
            called[TASK_SITE_BYTES - 1] = '\0';
        }
    }
    return false;
}

void task_note_site(lua_State *L, struct task *task)
{
    lua_Debug where;
    char called[TASK_SITE_BYTES];
    if (!find_user_frame(task->vm, L, &where, called))
        return;
    memcpy(task->site, where.short_src, sizeof(task->site));
    task->site_line = where.currentline;
}

void task_push_site(lua_State *L)
{
    lua_Debug where;
    char called[TASK_SITE_BYTES];
    if (find_user_frame(vm_of(L), L, &where, called))
        lua_pushfstring(L, "%s:%d", where.short_src, where.currentline);
    else
        lua_pushnil(L);
}

void task_push_where(lua_State *L, const struct task *task)
{
    lua_Debug where;
    char called[TASK_SITE_BYTES];
    lua_State *at = task->op != NULL ? task->waiting_in : task->co;
    if (!find_user_frame(task->vm, at, &where, called)) {
        task_push_name(L, task);
        return;
    }
    lua_pushfstring(L, "%s:%d", where.short_src, where.currentline);
    if (*called != '\0') {
        lua_pushfstring(L, " in %s", called);
        lua_concat(L, 2);
    }
}
