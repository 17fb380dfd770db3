#include "script/exchange.h"

#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "script/answer.h"
#include "script/exchange_parts.h"
#include "script/generation_state.h"
#include "script/job.h"
#include "script/overlay.h"
#include "script/refusal.h"
#include "script/route_choice.h"
#include "script/task.h"
#include "shared/scoreboard.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The stack of a handler's coroutine: req and res stay below the handler, so that whoever reads its
 * results, or handles its failure, still has them. */
enum { STACK_REQ = 1, STACK_RES = 2, STACK_RESULT = 3, FIELDS_KEPT = 4 };

static const struct task_owner handler_owner;

/* ---- tokens ---- */

#define SERIAL_FACTOR 1048576.0 /* 2^20 places; the serial has the other 32 bits of a double */

static void push_token(lua_State *L, const struct exchange *exchange)
{
    lua_pushnumber(L, (lua_Number)exchange->place + SERIAL_FACTOR * exchange->serial);
}

struct exchange *exchange_check(lua_State *L, int index)
{
    struct vm *vm = VM_UPVALUE(L);
    lua_Number token = luaL_checknumber(L, index);
    lua_Number serial = floor(token / SERIAL_FACTOR);
    lua_Number place = token - serial * SERIAL_FACTOR;
    struct generation *generation = vm->generation;
    if (generation != NULL && place >= 0 && place < generation->nexchanges) {
        struct exchange *exchange = generation->exchanges[(uint32_t)place];
        if (exchange->request != NULL && (lua_Number)exchange->serial == serial)
            return exchange;
    }
    vm_push_error(L, "finished",
                  "the request is finished: its req and res cannot be used any more");
    lua_error(L);
    return NULL;
}

/* ---- ending ---- */

static void show_waiting(struct exchange *exchange, bool is_waiting)
{
    struct scoreboard_slot *slot = exchange->generation->vm->slot;
    if (slot == NULL || exchange->is_waiting_shown == is_waiting ||
        exchange->route->number >= SCOREBOARD_ROUTES)
        return;
    _Atomic uint32_t *count = &slot->waiting[exchange->route->number];
    uint32_t now = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, is_waiting ? now + 1 : now - 1, memory_order_relaxed);
    exchange->is_waiting_shown = is_waiting;
}

/* After the answer is whole or nobody wants it. */
static void end_exchange(struct exchange *exchange)
{
    if (exchange->route != NULL) {
        show_waiting(exchange, false);
        ((struct route *)exchange->route)->nrunning--;
    }
    if (exchange->after != NULL)
        jobs_release(exchange);
    exchange_end_waits(exchange);
    generation_put_exchange(exchange);
}

/* ---- running Lua ---- */

/* `nfields`: room for what will be kept in it. */
static void push_object(lua_State *L, struct exchange *exchange, int meta_ref, int nfields)
{
    lua_createtable(L, 2, nfields);
    push_token(L, exchange);
    lua_rawseti(L, -2, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, meta_ref);
    lua_setmetatable(L, -2);
}

/* On top of its req, which gets to know it as req[2]: for what answers without being given res. */
static void push_response(lua_State *L, struct exchange *exchange)
{
    push_object(L, exchange, exchange->generation->response_meta_ref, 0);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, 2);
}

static void on_overdue(struct deadline *deadline)
{
    struct exchange *exchange = LIST_ENTRY(deadline, struct exchange, deadline);
    lua_State *L = exchange->generation->vm->L;
    exchange->is_overdue = true;
    vm_push_error(L, "timeout", "the request took longer than its timeout of %f seconds",
                  exchange->route->timeout_ms / 1000.0);
    task_cancel(exchange->task, L);
}

static void run_handler(struct exchange *exchange, const struct route *route)
{
    struct generation *generation = exchange->generation;
    struct request *request = exchange->request;
    struct task *task = task_new(generation->vm, &handler_owner, exchange);
    lua_State *co = task->co;
    uint32_t serial = exchange->serial;
    exchange->task = task;
    task->route = route->number + 1;
    task->exchange = exchange;
    task->exchange_serial = serial;
    if (route->wants == 0) {
        lua_pushnil(co);
    } else {
        push_object(co, exchange, generation->request_meta_ref, route->used != 0 ? FIELDS_KEPT : 0);
        exchange_keep_parts(co, exchange);
    }
    if (route->wants >= 2)
        push_response(co, exchange);
    else
        lua_pushnil(co);
    lua_rawgeti(co, LUA_REGISTRYINDEX, route->handler_ref);
    for (int i = 0; i < route->wants; i++)
        lua_pushvalue(co, STACK_REQ + i);
    task_start(task, route->wants);
    if (exchange->serial != serial || exchange->request != request)
        return; /* answered at once */
    show_waiting(exchange, true);
    if (route->timeout_ms != 0 && !exchange->is_unbounded)
        deadline_start(route->deadlines, &exchange->deadline, on_overdue);
}

/* The error handler runs as a task of its own, with the same req and res. The failed coroutine
 * holds them, and the error on top. */
static void run_failure(struct exchange *exchange, struct task *failed)
{
    struct generation *generation = exchange->generation;
    struct task *task = task_new(generation->vm, &handler_owner, exchange);
    lua_State *co = task->co;
    exchange->phase = EXCHANGE_FAILURE;
    exchange->task = task;
    task->route = failed->route;
    task->exchange = exchange;
    task->exchange_serial = exchange->serial;
    push_object(co, exchange, generation->request_meta_ref, 0);
    push_response(co, exchange);
    lua_rawgeti(co, LUA_REGISTRYINDEX, generation->failure_ref);
    task_push_failure(failed, co);
    lua_pushvalue(co, STACK_REQ);
    lua_pushvalue(co, STACK_RES);
    lua_pushinteger(co, (lua_Integer)exchange->route->app + 1);
    lua_pushboolean(co, exchange->is_overdue);
    lua_pushboolean(co, exchange->request->is_answer_begun);
    task_start(task, 6); /* err, req, res, app, is_overdue, is_begun */
}

/* A string field of the table on top of the stack; borrowed from it. No metamethod is asked: this
 * is outside of any task. */
static struct str own_field(lua_State *L, const char *name)
{
    struct str value = {0};
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    if (lua_type(L, -1) == LUA_TSTRING)
        value.ptr = lua_tolstring(L, -1, &value.len);
    lua_pop(L, 1);
    return value;
}

static void log_lost_failure(struct exchange *exchange, struct task *task)
{
    lua_State *main = exchange->generation->vm->L;
    int top = lua_gettop(main);
    struct str message = str_of("an error value without a message"), traceback = {0};
    task_push_failure(task, main);
    if (lua_istable(main, -1)) {
        struct str own = own_field(main, "message");
        message = own.ptr != NULL ? own : message;
        traceback = own_field(main, "traceback");
    } else if (lua_type(main, -1) == LUA_TSTRING) {
        message.ptr = lua_tolstring(main, -1, &message.len);
    }
    struct log_field fields[] = {
        {"request_id", {exchange->request->id, REQUEST_ID_BYTES}},
        {"route", str_of(exchange->route->pattern)},
        {"traceback", traceback},
    };
    log_with(LOG_ERROR, fields, traceback.len != 0 ? 3 : 2, "the error handler failed: %.*s",
             (int)message.len, message.ptr);
    lua_settop(main, top);
}

/* moonloop.abort is an answer like any other. The error is on top of the failed coroutine. */
static bool is_abort(lua_State *co)
{
    return lua_istable(co, -1) && str_equal(own_field(co, "code"), str_of("abort"));
}

static void on_handler_failed(struct exchange *exchange, struct task *task)
{
    struct request *request = exchange->request;
    if (exchange->phase == EXCHANGE_HANDLER) {
        if (exchange->after != NULL && !is_abort(task->co))
            jobs_drop(exchange, "the handler of its request failed");
        run_failure(exchange, task);
        return;
    }
    log_lost_failure(exchange, task);
    jobs_drop(exchange, "the error handler of its request failed");
    end_exchange(exchange);
    if (request->is_answer_begun)
        request_abort(request);
    else
        refuse(request, 500, "internal server error\n", (struct str){0});
}

/* What is wrong with an answer has no line of its own; the message of the error object on top gets
 * that of the handler. */
static void place_error(lua_State *co, const char *source)
{
    lua_getfield(co, -1, "message");
    lua_pushfstring(co, "%s: %s", source, lua_tostring(co, -1));
    lua_setfield(co, -3, "message");
    lua_pop(co, 1);
}

static void on_handler_end(struct task *task, enum task_status status)
{
    struct exchange *exchange = task->data;
    struct generations *all = exchange->generation->all;
    struct request *request = exchange->request;
    lua_State *co = task->co;
    struct answer answer;
    exchange->task = NULL;
    if (exchange->is_abandoned || (status != TASK_DONE && request_is_lost(request))) {
        jobs_drop(exchange, "the client has gone before the answer");
        end_exchange(exchange);
        if (request != NULL)
            request_abort(request);
        return;
    }
    if (status != TASK_DONE) {
        on_handler_failed(exchange, task);
        return;
    }
    if (request->is_answer_begun) {
        bool is_cut = exchange->phase == EXCHANGE_FAILURE;
        end_exchange(exchange);
        if (is_cut)
            request_abort(request); /* the client must notice that the rest is missing */
        else
            request_end(request);
        return;
    }
    struct answer_buffers buffers = {&all->scratch, &all->fields};
    bool has_res = exchange->route->wants >= 2 || exchange->phase == EXCHANGE_FAILURE;
    int res = has_res && lua_istable(co, STACK_RES) ? STACK_RES : 0;
    if (!answer_read(co, STACK_RESULT, res, buffers, &answer)) {
        if (exchange->phase == EXCHANGE_HANDLER)
            place_error(co, exchange->route->source);
        on_handler_failed(exchange, task);
        return;
    }
    if (all->overlay.len != 0)
        overlay_add(&all->overlay, &all->scratch, &answer);
    end_exchange(exchange);
    request_answer(request, &answer);
}

static const struct task_owner handler_owner = {.on_end = on_handler_end};

/* ---- from the server ---- */

static void keep_params(struct exchange *exchange, const struct route_match *match, struct str path)
{
    uint32_t path_at = (uint32_t)(path.ptr - exchange->request->base);
    exchange->nparams = (uint8_t)match->nparams;
    if (match->nparams > exchange->params_cap) {
        exchange->params_cap = exchange->nparams;
        exchange->params =
            mem_grow(exchange->params, exchange->params_cap * sizeof(*exchange->params));
    }
    for (uint32_t i = 0; i < match->nparams; i++) {
        const struct route_param *param = &match->params[i];
        exchange->params[i] = (struct exchange_param){
            .value = {path_at + (uint32_t)(param->value.ptr - path.ptr),
                      (uint32_t)param->value.len},
            .kind = param->kind,
            .needs_decoding = param->needs_decoding,
        };
    }
}

static void start(struct generation *generation, struct request *request, struct route *route,
                  const struct route_match *match, struct str path)
{
    struct exchange *exchange = generation_get_exchange(generation, request);
    exchange->route = route;
    route->nrunning++;
    keep_params(exchange, match, path);
    request_limit_body(request, route->max_body);
    if (request->body_state == BODY_TOO_LARGE) {
        end_exchange(exchange);
        refuse(request, 413, "the body is too large\n", (struct str){0});
        return;
    }
    run_handler(exchange, route);
}

static void on_request(void *data, struct request *request)
{
    struct generations *all = data;
    struct generation *generation = all->current;
    struct route_match match;
    if (generation == NULL) {
        refuse(request, 503, "the server is stopping\n", (struct str){0});
        return;
    }
    struct str path = request_path(request);
    struct route *route = route_of_request(generation, request, path, &match);
    if (route == NULL)
        return; /* answered */
    if (route->limit != 0 && route->nrunning >= route->limit)
        refuse(request, 503, "too many requests run this route already\n",
               str_of("Retry-After: 1\r\n"));
    else
        start(generation, request, route, &match, path);
}

static void wake(struct op *op)
{
    if (op == NULL)
        return;
    lua_pushboolean(op_state(op), true);
    op_complete(op, 1);
}

static void on_body(void *data, struct request *request)
{
    struct exchange *exchange = request->user;
    (void)data;
    wake(exchange->body_wait);
}

static void on_drain(void *data, struct request *request)
{
    struct exchange *exchange = request->user;
    (void)data;
    if (!request_must_wait(request))
        wake(exchange->client_wait);
}

static void on_abandon(void *data, struct request *request)
{
    struct exchange *exchange = request->user;
    (void)data;
    if (exchange == NULL)
        return;
    exchange->is_abandoned = true;
    struct task *task = exchange->task;
    lua_State *L = exchange->generation->vm->L;
    deadline_stop(&exchange->deadline);
    exchange->request = NULL; /* its req and res raise from now on */
    if (task == NULL)
        return;
    vm_push_error(L, "cancelled", "the client has gone");
    task_cancel(task, L);
}

struct http_handler exchange_handler(struct generations *all)
{
    return (struct http_handler){.on_request = on_request,
                                 .on_body = on_body,
                                 .on_drain = on_drain,
                                 .on_abandon = on_abandon,
                                 .data = all};
}
