#include "script/watchdog_log.h"

#include "base/log.h"
#include "script/exchange.h"
#include "script/generation_state.h"
#include "script/job.h"
#include "script/task.h"

/* Who it was, for the log; the number of fields. */
static size_t describe(struct vm *vm, const struct task *task, struct log_field fields[5])
{
    const struct exchange *exchange = task != NULL ? task->exchange : NULL;
    const struct generation *generation = vm->generation;
    size_t count = job_log_fields(task, fields);
    if (count != 0)
        return count;
    if (exchange != NULL && exchange->serial == task->exchange_serial && exchange->request != NULL)
        fields[count++] =
            (struct log_field){"request_id", {exchange->request->id, REQUEST_ID_BYTES}};
    if (task != NULL && generation != NULL && task->route != 0 &&
        task->route <= generation->nroutes) {
        const struct route *route = generation->routes[task->route - 1];
        fields[count++] = (struct log_field){"app", str_of(generation->apps[route->app].name)};
        fields[count++] = (struct log_field){"route", str_of(route->pattern)};
        fields[count++] = (struct log_field){"handler", str_of(route->source)};
    }
    return count;
}

void watchdog_log_interrupted(struct vm *vm, lua_State *co)
{
    struct log_field fields[5];
    size_t count = describe(vm, vm->current, fields);
    lua_getfield(co, -1, "traceback");
    lua_getfield(co, -2, "message");
    fields[count++] = (struct log_field){"traceback", str_of(lua_tostring(co, -2))};
    log_with(LOG_ERROR, fields, count, "interrupted: %s", lua_tostring(co, -1));
    lua_pop(co, 2);
    lua_pushboolean(co, true);
    lua_setfield(co, -2, "is_logged");
}

void watchdog_log_noticed(struct vm *vm, const char *place, uint64_t held_ms)
{
    struct log_field fields[5];
    size_t count = describe(vm, vm->current, fields);
    log_with(LOG_WARN, fields, count,
             "%s%sthe loop stood still for %.2f s: a call that blocks, or a long computation; use "
             "moonloop.sleep, moonloop.offload or run = \"thread\"",
             place, *place != '\0' ? ": " : "", (double)held_ms / 1000);
}
