#include "script/lib_activity.h"

#include "http/forwarded.h"
#include "loop/loop.h"
#include "script/exchange.h"
#include "script/job.h"
#include "script/task.h"

#include <time.h>

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static const char *state_of(const struct task *task)
{
    if (task->status == TASK_READY)
        return task->is_started ? "ready" : "new";
    if (task->status == TASK_ENDING)
        return "ending";
    return task->status == TASK_RUNNING ? "running" : "waiting";
}

/* The request that it works for and that has not been answered; NULL: none. */
static const struct exchange *exchange_of(const struct task *task)
{
    const struct exchange *exchange = task->exchange;
    bool is_there = exchange != NULL && exchange->serial == task->exchange_serial;
    return is_there ? exchange : NULL;
}

static void push_route(lua_State *L, const struct exchange *exchange)
{
    lua_pushfstring(L, "%s %s", exchange->route->method, exchange->route->pattern);
}

/* Fills in what a person calls it. A task that a job was started with is the job. */
static void name_task(lua_State *L, const struct task *task)
{
    const struct exchange *exchange = exchange_of(task);
    const struct job *job = job_of(task);
    bool is_job = job != NULL && job->task == task;
    bool is_request = exchange != NULL && task->home == NULL && !is_job;
    const char *kind = is_request ? "request" : "task";
    if (is_job)
        kind = job->is_helper ? "helper" : job->key == NULL ? "after" : "job";
    set_text(L, "kind", kind);
    if (is_request) {
        char from[FORWARDED_ADDRESS_BYTES];
        lua_pushlstring(L, from, forwarded_client(exchange->request, from));
        lua_setfield(L, -2, "from");
        push_route(L, exchange);
    } else if (is_job) {
        lua_pushstring(L, job->name);
    } else {
        task_push_name(L, task);
    }
    lua_setfield(L, -2, "name");
    if (job != NULL)
        set_text(L, "app", job->app->name);
    if (is_job && job->route != NULL) {
        set_text(L, "of", job->route);
    } else if (!is_job && job != NULL) {
        set_text(L, "of", job->name);
    } else if (!is_request && exchange != NULL) {
        push_route(L, exchange);
        lua_setfield(L, -2, "of");
    }
}

static void push_task(lua_State *L, const struct task *task, double now_s, uint64_t now_ms)
{
    lua_createtable(L, 0, 6);
    name_task(L, task);
    set_text(L, "state", state_of(task));
    lua_pushnumber(L, now_s - (double)(now_ms - task->begun_ms) / 1000);
    lua_setfield(L, -2, "since");
    if (task->is_started && task->op != NULL) {
        task_push_where(L, task);
        lua_setfield(L, -2, "where");
    }
}

/* tasks(limit): a list of { kind = "request", "after", "job", "helper" or "task", name =, app =,
 * of =, state =, since =, where =, from = }, and how many there are beyond the limit.
 * `since`: Unix time. */
static int l_tasks(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    uint32_t limit = (uint32_t)luaL_checkinteger(L, 1), count = 0;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    double now_s = (double)wall.tv_sec + (double)wall.tv_nsec / 1e9;
    uint64_t now_ms = loop_now_ms(vm->loop);
    lua_newtable(L);
    for (struct link *at = vm->alive.next; at != &vm->alive && count < limit; at = at->next) {
        const struct task *task = LIST_ENTRY(at, struct task, alive);
        push_task(L, task, now_s, now_ms < task->begun_ms ? task->begun_ms : now_ms);
        lua_rawseti(L, -2, (int)++count);
    }
    lua_pushnumber(L, vm->ntasks - count);
    return 2;
}

int luaopen_moonloop_core_activity(lua_State *L)
{
    static const luaL_Reg functions[] = {{"tasks", l_tasks}, {NULL, NULL}};
    vm_library(L, functions);
    return 1;
}
