/*
 * moonloop.core.request, the part that answers while the handler runs: an answer in pieces, interim
 * answers, a connection that is taken over.
 */
#include "http/field.h"
#include "http/request.h"
#include "http/upgrade.h"
#include "script/answer.h"
#include "script/exchange.h"
#include "script/exchange_parts.h"
#include "script/generation_state.h"
#include "script/lib_duplex.h"
#include "script/task.h"

#include <errno.h>

static struct str check_str(lua_State *L, int index)
{
    struct str text;
    text.ptr = luaL_checklstring(L, index, &text.len);
    return text;
}

/* Reads what lies from `first` on as an answer, with the table at `res`; raises what is wrong. */
static struct answer read_answer(lua_State *L, struct exchange *exchange, int first, int res)
{
    struct generations *all = exchange->generation->all;
    struct answer_buffers buffers = {&all->scratch, &all->fields};
    struct answer answer;
    if (!answer_read(L, first, res, buffers, &answer))
        lua_error(L);
    return answer;
}

/* Status and fields of the res at 2, which lives below what it is called with. */
static struct answer read_head(lua_State *L, struct exchange *exchange)
{
    return read_answer(L, exchange, lua_gettop(L) + 1, 2);
}

/* The fields of a table of headers, or none for nil. */
static struct answer read_fields(lua_State *L, struct exchange *exchange, int index)
{
    int top;
    lua_settop(L, index);
    top = lua_gettop(L);
    lua_pushnil(L);
    lua_pushinteger(L, 200);
    lua_pushvalue(L, index);
    struct answer answer = read_answer(L, exchange, top + 1, 0);
    lua_settop(L, top);
    return answer;
}

static int end_write(lua_State *L, struct exchange *exchange, int status)
{
    if (status == -EMSGSIZE)
        vm_push_error(L, "misuse", "more is written than the length that went with the head");
    else if (status != 0 && upgrade_is_taken(exchange->request))
        vm_push_error(L, "misuse", "the connection was taken over by req:upgrade: write to that");
    else if (status != 0)
        vm_push_error(L, "closed", "the client has gone");
    if (status != 0)
        return lua_error(L);
    if (request_must_wait(exchange->request))
        return exchange_wait(L, &exchange->client_wait);
    lua_pushboolean(L, true);
    return task_goes_on(L, 1);
}

/* write(token, res, chunk): sends a part of the answer; waits while the client is slow */
static int l_write(lua_State *L)
{
    struct exchange *exchange = exchange_check(L, 1);
    task_check(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    struct str chunk = check_str(L, 3);
    if (!exchange->request->is_answer_begun) {
        struct answer answer = read_head(L, exchange);
        if (answer.status == 204)
            answer.status = 200; /* nothing was returned yet, but something is written */
        if (answer.content_type.len == 0)
            answer.content_type = str_of("text/plain; charset=utf-8");
        request_begin(exchange->request, &answer, -1, (struct str){0});
        lua_settop(L, 3);
    }
    return end_write(L, exchange, request_write(exchange->request, chunk));
}

/* begin(token, res, length or nil, chunk or nil): sends the head as it is, and a first part of the
 * body; waits as write does */
static int l_begin(lua_State *L)
{
    struct exchange *exchange = exchange_check(L, 1);
    struct str chunk = {0};
    task_check(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Number length = luaL_optnumber(L, 3, -1);
    luaL_argcheck(L, length >= -1 && length <= 9e15, 3, "expected bytes");
    if (!lua_isnoneornil(L, 4))
        chunk = check_str(L, 4);
    if (exchange->request->is_answer_begun) {
        vm_push_error(L, "misuse", "the answer was begun already");
        return lua_error(L);
    }
    lua_settop(L, 4);
    struct answer answer = read_head(L, exchange);
    int status = request_begin(exchange->request, &answer, (int64_t)length, chunk);
    return end_write(L, exchange, status);
}

static int l_is_begun(lua_State *L)
{
    lua_pushboolean(L, exchange_check(L, 1)->request->is_answer_begun);
    return 1;
}

/* interim(token, status, headers): an answer before the answer, to clients that understand it */
static int l_interim(lua_State *L)
{
    struct exchange *exchange = exchange_check(L, 1);
    lua_Integer status = luaL_checkinteger(L, 2);
    luaL_argcheck(L, status >= 102 && status <= 199, 2, "expected a status from 102 to 199");
    struct answer answer = read_fields(L, exchange, 3);
    if (!exchange->request->is_answer_begun)
        request_send_interim(exchange->request, (uint16_t)status, answer.fields);
    return 0;
}

/* The timeout is one for the answer. */
static void unbind(struct exchange *exchange)
{
    exchange->is_unbounded = true;
    deadline_stop(&exchange->deadline);
}

/* unbounded(token): the answer may take as long as it likes */
static int l_unbounded(lua_State *L)
{
    unbind(exchange_check(L, 1));
    return 0;
}

/* upgrade(token, protocol, headers or nil): answers 101; the connection, or nil and why not */
static int l_upgrade(lua_State *L)
{
    struct exchange *exchange = exchange_check(L, 1);
    struct str protocol = check_str(L, 2);
    luaL_argcheck(L, field_is_protocol(protocol), 2, "expected a protocol such as \"websocket\"");
    const char *why = upgrade_refusal(exchange->request, protocol);
    if (why != NULL) {
        lua_pushnil(L);
        lua_pushstring(L, why);
        return 2;
    }
    struct answer answer = read_fields(L, exchange, 3);
    unbind(exchange); /* the answer is this */
    struct duplex *duplex = upgrade_take(exchange->request, protocol, answer.fields);
    duplex_push(L, duplex, &exchange->task->root, true, 0);
    return 1;
}

void exchange_add_stream_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"write", l_write},
                                         {"begin", l_begin},
                                         {"is_begun", l_is_begun},
                                         {"interim", l_interim},
                                         {"upgrade", l_upgrade},
                                         {"unbounded", l_unbounded},
                                         {NULL, NULL}};
    vm_add_functions(L, functions);
}
