/*
 * moonloop.core.job: what lua/moonloop/background/ builds req:after, app:background and the timers
 * from. Functions that wait return `true, ...` or `false, error`.
 */
#include "script/job.h"

#include "base/mem.h"
#include "script/exchange.h"
#include "script/generation_state.h"
#include "script/task.h"

#include <string.h>
#include <time.h>

enum { JOB_ARGS_MAX = 200 };

static void raise_full(lua_State *L, const struct job_app *app, lua_Integer limit)
{
    vm_push_error(L, "full", "%d jobs of app %s are under way, which is the limit (max_background)",
                  (int)limit, app->name);
    lua_pushinteger(L, 503);
    lua_setfield(L, -2, "status");
    lua_error(L);
}

/* The arguments from `index` on are: app, limit (0: none, -1: a helper that does not count), key or
 * nil, name, handle, on_end, fn, ... The job holds all of it; its task has not been started. */
static struct job *make(lua_State *L, int index)
{
    struct vm *vm = VM_UPVALUE(L);
    struct jobs *jobs = jobs_of(vm);
    struct job_app *app = jobs_app(jobs, luaL_checkstring(L, index));
    lua_Integer limit = luaL_checkinteger(L, index + 1);
    const char *key = lua_isnil(L, index + 2) ? NULL : luaL_checkstring(L, index + 2);
    const char *name = luaL_checkstring(L, index + 3);
    luaL_checktype(L, index + 4, LUA_TTABLE);
    luaL_checktype(L, index + 5, LUA_TFUNCTION);
    luaL_checktype(L, index + 6, LUA_TFUNCTION);
    int nargs = lua_gettop(L) - index - 6;
    if (nargs > JOB_ARGS_MAX)
        luaL_error(L, "a job takes at most %d arguments", JOB_ARGS_MAX);
    if (limit > 0 && app->njobs >= (uint32_t)limit)
        raise_full(L, app, limit);
    task_holds(L);
    struct task *task = task_new(vm, NULL, NULL);
    struct job *job = job_new(jobs, task, app, key, name);
    job->is_helper = limit < 0;
    app->njobs += !job->is_helper;
    task_find_site(L, 1, task->site, &task->site_line);
    lua_pushlightuserdata(L, task);
    lua_rawseti(L, index + 4, 0);
    lua_pushvalue(L, index + 4);
    task_set_handle(task, L);
    lua_pushvalue(L, index + 4);
    job->handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, index + 5);
    job->end_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_checkstack(task->co, nargs + 1);
    lua_xmove(L, task->co, nargs + 1);
    job->nargs = nargs;
    return job;
}

/* start(app, limit, key, name, handle, on_end, fn, ...): runs fn(...) as a job, beginning when the
 * running task next waits. on_end(handle, state, err) is called outside of any task. Raises `full`
 * when the app has `limit` jobs already. */
static int l_start(lua_State *L)
{
    struct job *job = make(L, 1);
    task_start(job->task, job->nargs);
    return task_goes_on(L, 0);
}

/* after(token, app, limit, key, name, handle, on_end, fn, ...): the same, beginning when the
 * request behind the token has been answered. */
static int l_after(lua_State *L)
{
    struct exchange *exchange = exchange_check(L, 1);
    struct job *job = make(L, 2);
    struct job **last = &exchange->after;
    job->request = mem_zeroed(REQUEST_ID_BYTES + 1);
    memcpy(job->request, exchange->request->id, REQUEST_ID_BYTES);
    job->route = mem_copy_text(exchange->route->pattern);
    job->task->route = exchange->route->number + 1;
    while (*last != NULL)
        last = &(*last)->next_after;
    *last = job;
    return task_goes_on(L, 0);
}

/* count(key): how many jobs of that key are alive in this worker, whatever their generation */
static int l_count(lua_State *L)
{
    lua_pushinteger(L, jobs_count(jobs_of(VM_UPVALUE(L)), luaL_checkstring(L, 1)));
    return 1;
}

/* wait(key): until there is none */
static int l_wait(lua_State *L)
{
    struct vm *vm = task_check(L);
    const char *key = luaL_checkstring(L, 1);
    return task_wait(L, jobs_wait(jobs_of(vm), key));
}

/* cancel(key, message): cancels the jobs of that key, whatever their generation; how many */
static int l_cancel(lua_State *L)
{
    struct link *alive = jobs_alive(jobs_of(VM_UPVALUE(L)));
    const char *key = luaL_checkstring(L, 1), *message = luaL_checkstring(L, 2);
    int count = 0;
    task_holds(L);
    for (struct link *at = alive->next; at != alive; at = at->next) {
        struct job *job = LIST_ENTRY(at, struct job, link);
        if (job->key == NULL || strcmp(job->key, key) != 0)
            continue;
        vm_push_error(job->task->vm->L, "cancelled", "%s", message);
        task_cancel(job->task, job->task->vm->L);
        count++;
    }
    lua_pushinteger(L, count);
    return task_goes_on(L, 1);
}

/* is_asked(): whether the running task works for a request, or for a job, rather than for its app
 */
static int l_is_asked(lua_State *L)
{
    const struct task *task = VM_UPVALUE(L)->current;
    lua_pushboolean(L, task != NULL && (task->exchange != NULL || job_of(task) != NULL));
    return 1;
}

int luaopen_moonloop_core_job(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"start", l_start},   {"after", l_after},       {"count", l_count}, {"wait", l_wait},
        {"cancel", l_cancel}, {"is_asked", l_is_asked}, {NULL, NULL}};
    vm_library(L, functions);
    return 1;
}
