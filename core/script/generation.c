#include "script/generation.h"

#include "base/log.h"
#include "base/mem.h"
#include "http/method.h"
#include "http/websocket_reader.h"
#include "loop/deadline.h"
#include "loop/loop.h"
#include "script/generation_state.h"
#include "script/job.h"
#include "script/overlay.h"
#include "script/task.h"
#include "script/watchdog.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of graceful_timeout, for streams to end by themselves: goodbyes take time as well. */
#define STREAM_SHARE 0.5

static void on_retired_empty(void *data);

struct generations *generations_new(struct loop *loop, const struct config *config,
                                    struct scoreboard_slot *slot)
{
    struct generations *all = MEM_NEW(struct generations);
    all->loop = loop;
    all->config = config;
    all->slot = slot;
    all->watchdog = watchdog_new(config);
    all->jobs = jobs_new(loop);
    link_init(&all->retired);
    all->handler = exchange_handler(all);
    return all;
}

void generations_use_topics(struct generations *all, struct topics *topics)
{
    all->topics = topics;
}

const struct http_handler *generations_handler(const struct generations *all)
{
    return &all->handler;
}

static void route_free(struct route *route)
{
    free(route->method);
    free(route->pattern);
    free(route->shown);
    free(route->source);
    free(route->param_refs);
    free(route);
}

void generation_free(struct generation *generation)
{
    if (generation == NULL)
        return;
    if (generation->vm != NULL) {
        watchdog_leave(generation->vm);
        vm_free(generation->vm);
    }
    for (size_t i = 0; i < generation->napps; i++) {
        free(generation->apps[i].name);
        free(generation->apps[i].mount);
        free(generation->apps[i].error);
    }
    for (size_t i = 0; i < generation->nroutes; i++)
        route_free(generation->routes[i]);
    for (size_t i = 0; i < generation->nrouters; i++) {
        free(generation->routers[i].host);
        router_free(generation->routers[i].router);
    }
    for (size_t i = 0; i < generation->nfiles; i++)
        free(generation->files[i]);
    for (uint32_t i = 0; i < generation->nexchanges; i++) {
        free(generation->exchanges[i]->params);
        free(generation->exchanges[i]);
    }
    snapshot_free(generation->snapshot);
    free(generation->apps);
    free(generation->routes);
    free(generation->routers);
    free(generation->files);
    free(generation->exchanges);
    free(generation);
}

/* Runs lua/moonloop/loader.lua, which calls back into lib_generation.c for each app and route. */
static bool load(struct generation *generation, struct fault *fault)
{
    lua_State *L = generation->vm->L;
    const struct config *config = generation->all->config;
    lua_getglobal(L, "require");
    lua_pushliteral(L, "moonloop.loader");
    if (!vm_call(generation->vm, 1, 1, fault))
        return false;
    lua_pushstring(L, config->apps_dir);
    lua_pushboolean(L, config->dev);
    if (!vm_call(generation->vm, 2, 1, fault))
        return false;
    lua_pushliteral(L, "params");
    generation->params_key_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushliteral(L, "query");
    generation->query_key_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushliteral(L, "headers");
    generation->headers_key_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, -1, "request");
    lua_getfield(L, -1, "any_case");
    generation->any_case_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    generation->request_meta_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, -1, "response");
    generation->response_meta_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, -1, "failure");
    generation->failure_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, -1, "lives");
    generation->lives_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 1);
    return true;
}

struct generation *generation_build(struct generations *all, uint64_t number,
                                    struct snapshot *snapshot, struct fault *fault)
{
    struct generation *generation = MEM_NEW(struct generation);
    generation->all = all;
    generation->number = number;
    generation->snapshot = snapshot;
    link_init(&generation->link);
    generation->files = mem_zeroed(sizeof(*generation->files));
    generation->vm = vm_new(all->loop, all->config->lua_dir, all->config, fault);
    if (generation->vm == NULL)
        goto fail;
    generation->vm->generation = generation;
    generation->vm->jobs = all->jobs;
    generation->vm->topics = all->topics;
    if (!watchdog_join(all->watchdog, generation->vm, fault))
        goto fail;
    vm_preload(generation->vm, "moonloop.core.generation", luaopen_moonloop_core_generation);
    if (!load(generation, fault))
        goto fail;
    if (all->config->dev)
        overlay_note(&all->overlay, generation);
    return generation;

fail:
    if (all->config->dev)
        overlay_note_fault(&all->overlay, fault->text);
    generation_free(generation);
    return NULL;
}

size_t generation_napps(const struct generation *generation)
{
    return generation->napps;
}

struct app_report generation_app(const struct generation *generation, size_t index)
{
    const struct app *app = &generation->apps[index];
    return (struct app_report){str_of(app->name), app->is_ok, str_of(app->error)};
}

size_t generation_nroutes(const struct generation *generation)
{
    return generation->nroutes;
}

struct route_info generation_route(const struct generation *generation, size_t index)
{
    const struct route *route = generation->routes[index];
    return (struct route_info){str_of(route->method),
                               str_of(route->shown != NULL ? route->shown : route->pattern),
                               str_of(generation->apps[route->app].name), str_of(route->source)};
}

const char *const *generation_files(const struct generation *generation)
{
    return (const char *const *)generation->files;
}

/* ---- commit, drain ---- */

static void name_routes(const struct generation *generation)
{
    struct scoreboard_slot *slot = generation->all->slot;
    struct buf name = {0};
    if (slot == NULL)
        return;
    for (size_t i = 0; i < generation->nroutes; i++) {
        name.len = 0;
        buf_printf(&name, "%s %s", generation->routes[i]->method, generation->routes[i]->pattern);
        scoreboard_slot_name_route(slot, (uint32_t)i, buf_str(&name));
    }
    buf_deinit(&name);
    atomic_store_explicit(&slot->nroutes, (uint32_t)generation->nroutes, memory_order_relaxed);
    atomic_store_explicit(&slot->generation, generation->number, memory_order_relaxed);
}

static void show_alive(struct generations *all)
{
    if (all->slot != NULL)
        atomic_store_explicit(&all->slot->generations_alive, all->nalive, memory_order_relaxed);
}

static void tell_if_idle(struct generations *all)
{
    if (all->on_idle == NULL || !link_is_alone(&all->retired))
        return;
    void (*on_idle)(void *data) = all->on_idle;
    all->on_idle = NULL;
    on_idle(all->on_idle_data);
}

static void push_life(struct generation *generation, lua_State *L, const char *name)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, generation->lives_ref);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

/* Runs the apps' on_start or on_stop functions as a task, so that they may wait. */
static void run_life(struct generation *generation, const char *name)
{
    struct task *task = task_new(generation->vm, NULL, NULL);
    push_life(generation, task->co, name);
    task_start(task, 0);
}

/* What app:state holds goes from one VM to the next as bytes. */
static void hand_over_states(struct generation *from, struct generation *to)
{
    struct fault fault = {0};
    push_life(from, from->vm->L, "save");
    if (!vm_call(from->vm, 0, 1, &fault)) {
        log_error("the state of the apps is lost: %s", fault.text);
        return;
    }
    size_t len;
    const char *bytes = lua_tolstring(from->vm->L, -1, &len);
    if (bytes != NULL && len != 0) {
        push_life(to, to->vm->L, "restore");
        lua_pushlstring(to->vm->L, bytes, len);
        if (!vm_call(to->vm, 1, 0, &fault))
            log_error("the state of the apps is lost: %s", fault.text);
    }
    lua_pop(from->vm->L, 1);
}

/* Calls a function of lua/moonloop/lives.lua that does not wait. */
static void call_life(struct generation *generation, const char *name)
{
    struct fault fault = {0};
    push_life(generation, generation->vm->L, name);
    if (!vm_call(generation->vm, 0, 0, &fault))
        log_error("the background work of the apps does not %s: %s", name, fault.text);
}

/* WebSockets and event streams are told to go, and closed with this code after `most` seconds at
 * the latest. */
static void drain_streams(struct generation *generation, int code, double most)
{
    struct task *task = task_new(generation->vm, NULL, NULL);
    push_life(generation, task->co, "drain");
    lua_pushinteger(task->co, code);
    lua_pushnumber(task->co, most);
    task_start(task, 2);
}

/* What its files declared as background work ends. */
static void leave(struct generation *generation)
{
    call_life(generation, "leave");
}

static void on_retired_empty(void *data)
{
    struct generation *generation = data;
    struct generations *all = generation->all;
    if (generation->nactive == 0 && !generation->is_stopped) {
        generation->is_stopped = true;
        run_life(generation, "stop");
        vm_when_empty(generation->vm, on_retired_empty, generation);
        return;
    }
    if (generation->nactive != 0) { /* a request without a task: wait for the next chance */
        vm_when_empty(generation->vm, on_retired_empty, generation);
        return;
    }
    link_remove(&generation->link);
    generation_free(generation);
    all->nalive--;
    show_alive(all);
    tell_if_idle(all);
}

static void retire(struct generation *generation)
{
    generation->is_retired = true;
    link_append(&generation->all->retired, &generation->link);
    vm_when_empty(generation->vm, on_retired_empty, generation);
}

void generation_commit(struct generations *all, struct generation *generation)
{
    struct generation *previous = all->current;
    all->current = generation;
    all->nalive++;
    generation->vm->slot = all->slot;
    watchdog_favour(all->watchdog, generation->vm);
    name_routes(generation);
    show_alive(all);
    if (previous != NULL) {
        hand_over_states(previous, generation);
        leave(previous); /* first: what goes on in the new one has ended in the old one */
    }
    run_life(generation, "start");
    if (previous != NULL) {
        drain_streams(previous, WEBSOCKET_RESTART, HUGE_VAL);
        retire(previous);
    }
}

void generations_quiesce(struct generations *all, bool is_restart)
{
    int code = is_restart ? WEBSOCKET_RESTART : WEBSOCKET_GOING_AWAY;
    double most = all->config->graceful_timeout_ms / 1000.0 * STREAM_SHARE;
    struct link *next;
    for (struct link *at = all->retired.next; at != &all->retired; at = next) {
        next = at->next;
        drain_streams(LIST_ENTRY(at, struct generation, link), code, most);
    }
    if (all->current == NULL)
        return;
    call_life(all->current, "quiesce");
    drain_streams(all->current, code, most);
}

uint32_t generations_alive(const struct generations *all)
{
    return all->nalive;
}

uint32_t generations_tasks(const struct generations *all)
{
    uint32_t count = all->current != NULL ? all->current->vm->ntasks : 0;
    for (struct link *at = all->retired.next; at != &all->retired; at = at->next)
        count += LIST_ENTRY(at, struct generation, link)->vm->ntasks;
    return count;
}

uint64_t generations_lua_bytes(const struct generations *all)
{
    if (all->current == NULL)
        return 0;
    lua_State *L = all->current->vm->L;
    return (uint64_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024 + (uint64_t)lua_gc(L, LUA_GCCOUNTB, 0);
}

void generations_drain(struct generations *all, void (*on_idle)(void *data), void *data)
{
    all->on_idle = on_idle;
    all->on_idle_data = data;
    if (all->current != NULL) {
        struct generation *current = all->current;
        all->current = NULL;
        leave(current);
        retire(current);
    }
    tell_if_idle(all);
}

static void cut(struct generation *generation)
{
    tasks_cancel_all(generation->vm, "cancelled", "the server is stopping");
}

void generations_free(struct generations *all)
{
    if (all == NULL)
        return;
    if (all->current != NULL) {
        leave(all->current);
        cut(all->current);
        generation_free(all->current);
    }
    for (struct link *first; (first = link_take_first(&all->retired)) != NULL;) {
        struct generation *generation = LIST_ENTRY(first, struct generation, link);
        cut(generation);
        generation_free(generation);
    }
    watchdog_free(all->watchdog);
    jobs_free(all->jobs);
    buf_deinit(&all->scratch);
    buf_deinit(&all->fields);
    buf_deinit(&all->overlay);
    free(all);
}

/* ---- for people ---- */

static void list(struct generation *generation, struct buf *out)
{
    struct vm *vm = generation->vm;
    struct fault fault = {0};
    struct str rows;
    lua_getglobal(vm->L, "require");
    lua_pushliteral(vm->L, "moonloop.activity");
    bool is_ok = vm_call(vm, 1, 1, &fault);
    if (is_ok) {
        lua_getfield(vm->L, -1, "report");
        lua_remove(vm->L, -2);
        if (generation->is_retired)
            lua_pushnumber(vm->L, (lua_Number)generation->number);
        else
            lua_pushnil(vm->L);
        is_ok = vm_call(vm, 1, 1, &fault);
    }
    if (!is_ok) {
        log_error("ps: %s", fault.text);
        return;
    }
    rows.ptr = lua_tolstring(vm->L, -1, &rows.len);
    if (rows.len != 0 && out->len != 0)
        buf_add_char(out, ',');
    buf_add_str(out, rows);
    lua_pop(vm->L, 1);
}

void generations_list(struct generations *all, struct buf *out)
{
    if (all->current != NULL)
        list(all->current, out);
    for (struct link *at = all->retired.next; at != &all->retired; at = at->next)
        list(LIST_ENTRY(at, struct generation, link), out);
}

/* ---- exchanges ---- */

struct exchange *generation_get_exchange(struct generation *generation, struct request *request)
{
    struct exchange *exchange = generation->spare;
    if (exchange != NULL) {
        generation->spare = exchange->next_spare;
    } else {
        exchange = MEM_NEW(struct exchange);
        exchange->place = generation->nexchanges++;
        exchange->generation = generation;
        deadline_init(&exchange->deadline);
        generation->exchanges = mem_grow(generation->exchanges,
                                         generation->nexchanges * sizeof(*generation->exchanges));
        generation->exchanges[exchange->place] = exchange;
    }
    generation->nactive++;
    exchange->request = request;
    exchange->task = NULL;
    exchange->body_wait = exchange->client_wait = NULL;
    exchange->phase = EXCHANGE_HANDLER;
    exchange->is_overdue = false;
    exchange->is_abandoned = false;
    exchange->is_waiting_shown = false;
    exchange->is_unbounded = false;
    request->user = exchange;
    return exchange;
}

void generation_put_exchange(struct exchange *exchange)
{
    struct generation *generation = exchange->generation;
    deadline_stop(&exchange->deadline);
    exchange->request = NULL;
    exchange->serial++;
    exchange->next_spare = generation->spare;
    generation->spare = exchange;
    generation->nactive--;
}
