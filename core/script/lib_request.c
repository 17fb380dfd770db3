/*
 * moonloop.core.request: the parts of a request, each made when Lua first asks for it, and the ways
 * to stream an answer. All take the token of the req or res; functions that wait return `true, ...`
 * or `false, error`.
 */
#include "script/exchange.h"

#include "base/mem.h"
#include "http/conn.h"
#include "http/forwarded.h"
#include "http/method.h"
#include "http/query.h"
#include "http/server.h"
#include "script/exchange_parts.h"
#include "script/generation_state.h"
#include "script/request_tls.h"
#include "script/task.h"

#include <stdlib.h>
#include <string.h>

enum { DECODE_ON_STACK_BYTES = 1024 };

static void push_str(lua_State *L, struct str text)
{
    lua_pushlstring(L, text.ptr != NULL ? text.ptr : "", text.len);
}

static void push_decoded(lua_State *L, struct str text, bool needs_decoding, int mode)
{
    char small[DECODE_ON_STACK_BYTES];
    if (!needs_decoding) {
        push_str(L, text);
        return;
    }
    if (text.len <= sizeof(small)) {
        lua_pushlstring(L, small, percent_decode(small, text, mode));
        return;
    }
    char *large = lua_newuserdata(L, text.len); /* the collector's, should pushing raise */
    lua_pushlstring(L, large, percent_decode(large, text, mode));
    lua_remove(L, -2);
}

static void note_use(struct exchange *exchange, enum request_part part)
{
    ((struct route *)exchange->route)->used |= (uint8_t)part;
}

static int l_method(lua_State *L)
{
    push_str(L, method_name(exchange_check(L, 1)->request->message.method));
    return 1;
}

static int l_path(lua_State *L)
{
    struct str path = request_path(exchange_check(L, 1)->request);
    bool is_encoded = path.len != 0 && memchr(path.ptr, '%', path.len) != NULL;
    push_decoded(L, path, is_encoded, PERCENT_PLAIN);
    return 1;
}

static int l_target(lua_State *L)
{
    struct request *request = exchange_check(L, 1)->request;
    push_str(L, request_slice(request, request->message.target));
    return 1;
}

/* The router has checked that a typed value is a number. */
static void push_param(lua_State *L, struct str value, int kind, bool needs_decoding)
{
    uint64_t small;
    if (kind == ROUTE_PARAM_INT && str_to_u64(value, &small)) {
        lua_pushnumber(L, (lua_Number)small); /* without making a string of it first */
        return;
    }
    push_decoded(L, value, needs_decoding, PERCENT_PLAIN);
    if (kind == ROUTE_PARAM_INT || kind == ROUTE_PARAM_NUMBER) {
        lua_pushnumber(L, lua_tonumber(L, -1));
        lua_remove(L, -2);
    }
}

static void push_params(lua_State *L, struct exchange *exchange)
{
    const struct route *route = exchange->route;
    lua_createtable(L, 0, (int)exchange->nparams);
    for (uint32_t i = 0; i < exchange->nparams; i++) {
        struct str value = request_slice(exchange->request, exchange->params[i].value);
        lua_rawgeti(L, LUA_REGISTRYINDEX, route->param_refs[i]);
        push_param(L, value, exchange->params[i].kind, exchange->params[i].needs_decoding);
        lua_rawset(L, -3);
    }
}

static int l_params(lua_State *L)
{
    struct exchange *exchange = exchange_check(L, 1);
    note_use(exchange, REQUEST_PARAMS);
    push_params(L, exchange);
    return 1;
}

/* The first value of each name. */
static void push_query(lua_State *L, const struct request *request)
{
    struct query_cursor cursor;
    query_begin(&cursor, request_query(request));
    lua_createtable(L, 0, 1);
    for (bool is_first = true; query_next(&cursor); is_first = false) {
        push_decoded(L, cursor.name, cursor.needs_decoding, PERCENT_FORM);
        if (!is_first) { /* a name that came before keeps its first value */
            lua_pushvalue(L, -1);
            lua_rawget(L, -3);
            bool is_known = !lua_isnil(L, -1);
            lua_pop(L, is_known ? 2 : 1);
            if (is_known)
                continue;
        }
        push_decoded(L, cursor.value, cursor.needs_decoding, PERCENT_FORM);
        lua_rawset(L, -3);
    }
}

/* query(token): the first value of each name */
static int l_query(lua_State *L)
{
    struct exchange *exchange = exchange_check(L, 1);
    note_use(exchange, REQUEST_QUERY);
    push_query(L, exchange->request);
    return 1;
}

/* pairs(text): a list of name, value, name, value, ... of an urlencoded text */
static int l_pairs(lua_State *L)
{
    struct query_cursor cursor;
    struct str text;
    int count = 0;
    text.ptr = luaL_checklstring(L, 1, &text.len);
    query_begin(&cursor, text);
    lua_newtable(L);
    while (query_next(&cursor)) {
        push_decoded(L, cursor.name, cursor.needs_decoding, PERCENT_FORM);
        lua_rawseti(L, -2, ++count);
        push_decoded(L, cursor.value, cursor.needs_decoding, PERCENT_FORM);
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

static int l_raw_query(lua_State *L)
{
    push_str(L, request_query(exchange_check(L, 1)->request));
    return 1;
}

/* header(token, name): any case; nil when it was not sent, joined by ", " when sent several times
 * (RFC 9110, 5.3) */
static int l_header(lua_State *L)
{
    struct request *request = exchange_check(L, 1)->request;
    const struct message *message = &request->message;
    struct str name;
    int count = 0;
    name.ptr = luaL_checklstring(L, 2, &name.len);
    for (uint32_t i = 0; i < message->nheaders; i++) {
        if (message->headers[i].name.len != name.len ||
            !str_equal_nocase(request_slice(request, message->headers[i].name), name))
            continue;
        if (count++ != 0)
            lua_pushliteral(L, ", ");
        push_str(L, request_slice(request, message->headers[i].value));
        if (count > 1)
            lua_concat(L, 3);
    }
    return count != 0;
}

/* host(token): what the client asked for, with its port; nil under HTTP/1.0 without a Host */
static int l_host(lua_State *L)
{
    struct str host;
    if (!request_host(exchange_check(L, 1)->request, &host))
        return 0;
    push_str(L, host);
    return 1;
}

static void push_lower(lua_State *L, struct str name)
{
    char small[256];
    if (name.len > sizeof(small)) {
        push_str(L, name);
        return;
    }
    for (size_t i = 0; i < name.len; i++)
        small[i] =
            name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? (char)(name.ptr[i] | 0x20) : name.ptr[i];
    lua_pushlstring(L, small, name.len);
}

/* All fields by lower-case name, found in any case. */
static void push_headers(lua_State *L, struct exchange *exchange)
{
    const struct request *request = exchange->request;
    const struct message *message = &request->message;
    lua_createtable(L, 0, (int)message->nheaders);
    for (uint32_t i = 0; i < message->nheaders; i++) {
        push_lower(L, request_slice(request, message->headers[i].name));
        lua_pushvalue(L, -1);
        lua_rawget(L, -3);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            push_str(L, request_slice(request, message->headers[i].value));
        } else {
            lua_pushliteral(L, ", ");
            push_str(L, request_slice(request, message->headers[i].value));
            lua_concat(L, 3);
        }
        lua_rawset(L, -3);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, exchange->generation->any_case_ref);
    lua_setmetatable(L, -2);
}

static int l_headers(lua_State *L)
{
    struct exchange *exchange = exchange_check(L, 1);
    note_use(exchange, REQUEST_HEADERS);
    push_headers(L, exchange);
    return 1;
}

void exchange_keep_parts(lua_State *L, struct exchange *exchange)
{
    const struct generation *generation = exchange->generation;
    uint8_t used = exchange->route->used;
    if ((used & REQUEST_PARAMS) != 0) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, generation->params_key_ref);
        push_params(L, exchange);
        lua_rawset(L, -3);
    }
    if ((used & REQUEST_QUERY) != 0) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, generation->query_key_ref);
        push_query(L, exchange->request);
        lua_rawset(L, -3);
    }
    if ((used & REQUEST_HEADERS) != 0) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, generation->headers_key_ref);
        push_headers(L, exchange);
        lua_rawset(L, -3);
    }
}

static int l_cookies(lua_State *L)
{
    struct request *request = exchange_check(L, 1)->request;
    const struct message *message = &request->message;
    lua_newtable(L);
    for (uint32_t i = 0; i < message->nheaders; i++) {
        struct cookie_cursor cursor;
        if (!str_equal_nocase(request_slice(request, message->headers[i].name), str_of("cookie")))
            continue;
        cookie_begin(&cursor, request_slice(request, message->headers[i].value));
        while (cookie_next(&cursor)) {
            push_str(L, cursor.name);
            push_decoded(L, cursor.value, true, PERCENT_PLAIN);
            lua_rawset(L, -3);
        }
    }
    return 1;
}

static int l_id(lua_State *L)
{
    lua_pushlstring(L, exchange_check(L, 1)->request->id, REQUEST_ID_BYTES);
    return 1;
}

static int l_app(lua_State *L)
{
    struct exchange *exchange = exchange_check(L, 1);
    lua_pushstring(L, exchange->generation->apps[exchange->route->app].name);
    return 1;
}

static int l_route(lua_State *L)
{
    lua_pushstring(L, exchange_check(L, 1)->route->pattern);
    return 1;
}

static int l_peer(lua_State *L)
{
    char text[FORWARDED_ADDRESS_BYTES];
    struct request *request = exchange_check(L, 1)->request;
    lua_pushlstring(L, text, forwarded_client(request, text));
    return 1;
}

static int l_scheme(lua_State *L)
{
    lua_pushstring(L, forwarded_is_https(exchange_check(L, 1)->request) ? "https" : "http");
    return 1;
}

/* deadline(token): seconds on the clock of moonloop.now, or nil */
static int l_deadline(lua_State *L)
{
    struct exchange *exchange = exchange_check(L, 1);
    if (!deadline_is_running(&exchange->deadline))
        return 0;
    lua_pushnumber(L, (lua_Number)exchange->deadline.due_ms / 1000.0);
    return 1;
}

/* ---- the body ---- */

static int l_body_state(lua_State *L)
{
    static const char *const names[] = {"coming",    "done",      "too_large",
                                        "malformed", "timed_out", "no_memory"};
    lua_pushstring(L, names[exchange_check(L, 1)->request->body_state]);
    return 1;
}

/* take_body(token): what has come so far, as a string; the next call gives what came after it */
static int l_take_body(lua_State *L)
{
    struct request *request = exchange_check(L, 1)->request;
    struct str body = request_body(request);
    push_str(L, body);
    if (body.len != 0)
        request_take_body(request, body.len);
    return 1;
}

/* promised_length(token): bytes that the head promises; nil when it does not say */
static int l_promised_length(lua_State *L)
{
    int64_t length = request_promised_length(exchange_check(L, 1)->request);
    if (length < 0)
        return 0;
    lua_pushnumber(L, (lua_Number)length);
    return 1;
}

static int l_body_length(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)request_body(exchange_check(L, 1)->request).len);
    return 1;
}

struct exchange_op {
    struct op op;
    struct op **place; /* in the exchange */
};

static void release(struct op *op)
{
    struct exchange_op *wait = (struct exchange_op *)op;
    if (*wait->place == op) /* else the exchange serves another request by now */
        *wait->place = NULL;
    free(wait);
}

int exchange_wait(lua_State *L, struct op **place)
{
    if (*place != NULL) {
        vm_push_error(L, "misuse", "another task waits for this request's body or client already");
        return lua_error(L);
    }
    struct exchange_op *wait = MEM_NEW(struct exchange_op);
    wait->op.kind = WAIT_LOCAL; /* under virtual time the client is a spec in this process */
    wait->op.release = release;
    wait->place = place;
    *place = &wait->op;
    return task_wait(L, &wait->op);
}

static void end_wait(struct op *op)
{
    if (op != NULL)
        op_fail(op, "finished", "the request is finished: its req and res cannot be used any more");
}

void exchange_end_waits(struct exchange *exchange)
{
    end_wait(exchange->body_wait);
    end_wait(exchange->client_wait);
}

/* wait_body(token): until more of it is there, or its end, or its failure */
static int l_wait_body(lua_State *L)
{
    struct exchange *exchange = exchange_check(L, 1);
    task_check(L);
    if (exchange->request->body_state != BODY_COMING) {
        lua_pushboolean(L, true);
        return task_goes_on(L, 1);
    }
    request_want_body(exchange->request);
    return exchange_wait(L, &exchange->body_wait);
}

int luaopen_moonloop_core_request(lua_State *L)
{
    static const luaL_Reg functions[] = {{"method", l_method},
                                         {"path", l_path},
                                         {"target", l_target},
                                         {"params", l_params},
                                         {"query", l_query},
                                         {"pairs", l_pairs},
                                         {"raw_query", l_raw_query},
                                         {"header", l_header},
                                         {"host", l_host},
                                         {"scheme", l_scheme},
                                         {"headers", l_headers},
                                         {"cookies", l_cookies},
                                         {"id", l_id},
                                         {"app", l_app},
                                         {"route", l_route},
                                         {"peer", l_peer},
                                         {"deadline", l_deadline},
                                         {"body_state", l_body_state},
                                         {"take_body", l_take_body},
                                         {"body_length", l_body_length},
                                         {"promised_length", l_promised_length},
                                         {"wait_body", l_wait_body},
                                         {NULL, NULL}};
    vm_library(L, functions);
    exchange_add_stream_functions(L);
    exchange_add_forward_functions(L);
    request_add_tls_functions(L);
    return 1;
}
