/*
 * What moonloop.core.http tells of an answer whose head has come: fields, interim answers, timing.
 */
#include "http/fetch.h"
#include "http/hop.h"
#include "script/http_parts.h"
#include "script/vm.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

/* interim(fetch): the interim answers that came, each as "103\n", lines "name: value\n", "\n" */
static int l_interim(lua_State *L)
{
    struct str text = buf_str(&http_check_answer(L)->interim);
    lua_pushlstring(L, text.len != 0 ? text.ptr : "", text.len);
    return 1;
}

static void push_lower(lua_State *L, struct str text)
{
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    for (size_t i = 0; i < text.len; i++)
        luaL_addchar(&out, (char)tolower((unsigned char)text.ptr[i]));
    luaL_pushresult(&out);
}

static void add_field(lua_State *L, int place, struct str name, struct str value, bool is_raw)
{
    if (is_raw)
        lua_pushlstring(L, name.ptr, name.len);
    else
        push_lower(L, name);
    lua_rawseti(L, -2, place);
    lua_pushlstring(L, value.ptr, value.len);
    lua_rawseti(L, -2, place + 1);
}

/* Takes the next field off a head that has been found good and ends with the last of them. `at` is
 * somewhere in the line before it. */
static bool next_field(const char **at, const char *end, struct str *name, struct str *value)
{
    const char *line = memchr(*at, '\n', (size_t)(end - *at));
    const char *colon = line != NULL ? memchr(line, ':', (size_t)(end - line)) : NULL;
    if (colon == NULL)
        return false;
    const char *from = colon + 1, *to = memchr(colon, '\r', (size_t)(end - colon));
    if (to == NULL)
        to = end;
    *at = to;
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    *name = (struct str){line + 1, (size_t)(colon - line - 1)};
    *value = (struct str){from, (size_t)(to - from)};
    return true;
}

static void push_fields_of(lua_State *L, const char *at, const char *end, bool is_raw)
{
    struct str name, value;
    lua_newtable(L);
    for (int place = 1; next_field(&at, end, &name, &value); place += 2)
        add_field(L, place, name, value, is_raw);
}

/* What was undone is no more true of the body, nor is its length. */
static bool is_undone(const struct fetch *fetch, struct str name)
{
    return fetch->is_decoded && (str_equal_nocase(name, (struct str){"content-encoding", 16}) ||
                                 str_equal_nocase(name, (struct str){"content-length", 14}));
}

/* headers(fetch or head, whether names stay as they came): { name, value, ... } in order, else with
 * names in lower case; without Content-Encoding and Content-Length when the body is decoded */
static int l_headers(lua_State *L)
{
    bool is_raw = lua_toboolean(L, 2);
    if (lua_type(L, 1) == LUA_TSTRING) {
        size_t len;
        const char *head = lua_tolstring(L, 1, &len);
        push_fields_of(L, head, head + len, is_raw);
        return 1;
    }
    const struct fetch *fetch = http_check_answer(L);
    const struct message *message = &fetch->message;
    const char *head = fetch->answer_head.ptr;
    int place = 1;
    lua_createtable(L, (int)message->nheaders * 2, 0);
    for (uint32_t i = 0; i < message->nheaders; i++) {
        const struct header_slice *header = &message->headers[i];
        struct str name = {head + header->name.at, header->name.len};
        if (is_undone(fetch, name))
            continue;
        add_field(L, place, name, (struct str){head + header->value.at, header->value.len}, is_raw);
        place += 2;
    }
    return 1;
}

/* coding(fetch): the Content-Encoding that is undone, nil for none */
static int l_coding(lua_State *L)
{
    static const struct str wanted = {"content-encoding", 16};
    const struct fetch *fetch = http_check_answer(L);
    const struct message *message = &fetch->message;
    const char *head = fetch->answer_head.ptr;
    int count = 0;
    for (uint32_t i = 0; i < message->nheaders && fetch->is_decoded; i++) {
        struct slice name = message->headers[i].name, value = message->headers[i].value;
        if (!str_equal_nocase((struct str){head + name.at, name.len}, wanted))
            continue;
        if (count++ != 0)
            lua_pushliteral(L, ", ");
        push_lower(L, (struct str){head + value.at, value.len});
        if (count > 1)
            lua_concat(L, 3);
    }
    return count != 0;
}

/* trailers(fetch): lines "name: value\n", once the body is whole */
static int l_trailers(lua_State *L)
{
    struct str text = buf_str(&http_check_answer(L)->trailers);
    lua_pushlstring(L, text.len != 0 ? text.ptr : "", text.len);
    return 1;
}

/* raw(fetch): the head as it came, without its last line */
static int l_raw(lua_State *L)
{
    struct str text = buf_str(&http_check_answer(L)->answer_head);
    lua_pushlstring(L, text.len != 0 ? text.ptr : "", text.len);
    return 1;
}

/* want_tls(fetch): before its head has come */
static int l_want_tls(lua_State *L)
{
    http_check_handle(L)->held.fetch->wants_tls = true;
    return 0;
}

/* tls(fetch): what TLS with the server is, if it was wanted: lines "version: TLSv1.3\n"; "" for a
 * connection that was there */
static int l_tls(lua_State *L)
{
    struct str text = buf_str(&http_check_answer(L)->tls);
    lua_pushlstring(L, text.len != 0 ? text.ptr : "", text.len);
    return 1;
}

/* decoding(fetch, whether the body is to be decoded, decoded bytes for each that came): before its
 * head has come */
static int l_decoding(lua_State *L)
{
    struct fetch *fetch = http_check_handle(L)->held.fetch;
    lua_Number ratio = luaL_checknumber(L, 3);
    luaL_argcheck(L, ratio >= 1 && ratio <= 1e15, 3, "expected a ratio");
    fetch->is_raw = !lua_toboolean(L, 2);
    fetch->max_ratio = (uint64_t)ratio;
    return 0;
}

/* progress(fetch): the bytes of the body that came, and of how many, nil when that is not known.
 * From now on body and save come back for it. */
static int l_progress(lua_State *L)
{
    struct fetch *fetch = http_check_handle(L)->held.fetch;
    fetch_take_progress(fetch);
    lua_pushnumber(L, (lua_Number)fetch->came_bytes);
    if (!fetch->message.has_length)
        return 1;
    lua_pushnumber(L, (lua_Number)fetch->message.content_length);
    return 2;
}

/* Puts a field into the table at 2; several of a name become a list. */
static void add_to_headers(lua_State *L, struct str name, struct str value)
{
    lua_pushlstring(L, name.ptr, name.len);
    lua_pushvalue(L, -1);
    lua_rawget(L, 2);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushlstring(L, value.ptr, value.len);
        lua_rawset(L, 2);
        return;
    }
    if (!lua_istable(L, -1)) {
        lua_createtable(L, 2, 0);
        lua_insert(L, -2);
        lua_rawseti(L, -2, 1);
    }
    lua_pushlstring(L, value.ptr, value.len);
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
    lua_rawset(L, 2);
}

/* Appends to the string at `index`, or nil. */
static void join_at(lua_State *L, int index, struct str value)
{
    bool is_first = lua_isnil(L, index);
    lua_pushvalue(L, index);
    lua_pushliteral(L, ", ");
    lua_pushlstring(L, value.ptr, value.len);
    if (!is_first)
        lua_concat(L, 3);
    lua_replace(L, index);
    lua_settop(L, index);
}

/* A message of the fields of a head, whose slices are the caller's. */
static struct message message_of(struct str head, struct header_slice slices[FETCH_HEADERS_MAX])
{
    struct message message = {.headers = slices};
    const char *at = head.ptr;
    struct str name, value;
    while (message.nheaders < FETCH_HEADERS_MAX &&
           next_field(&at, head.ptr + head.len, &name, &value)) {
        slices[message.nheaders++] =
            (struct header_slice){{(uint32_t)(name.ptr - head.ptr), (uint32_t)name.len},
                                  {(uint32_t)(value.ptr - head.ptr), (uint32_t)value.len}};
        if (str_equal_nocase(name, (struct str){"content-length", 14}))
            message.has_length = str_to_u64(value, &message.content_length);
    }
    return message;
}

/* forward(fetch or head): what goes on to a client of ours: a table of headers, without those for
 * one hop and what a server says itself; Content-Length and Via, nil for none */
static int l_forward(lua_State *L)
{
    struct header_slice slices[FETCH_HEADERS_MAX];
    struct message own;
    const struct message *message = &own;
    const char *head;
    if (lua_type(L, 1) == LUA_TSTRING) {
        struct str text;
        head = text.ptr = lua_tolstring(L, 1, &text.len);
        own = message_of(text, slices);
    } else {
        const struct fetch *fetch = http_check_answer(L);
        message = &fetch->message;
        head = fetch->answer_head.ptr;
    }
    bool has_list = hop_has_list(message, head);
    const struct str ours[] = {{"date", 4}, {"x-request-id", 12}};
    lua_settop(L, 1);
    lua_createtable(L, 0, (int)message->nheaders);
    lua_pushnil(L); /* Via */
    for (uint32_t i = 0; i < message->nheaders; i++) {
        const struct header_slice *header = &message->headers[i];
        struct str name = {head + header->name.at, header->name.len};
        struct str value = {head + header->value.at, header->value.len};
        if (str_equal_nocase(name, (struct str){"via", 3}))
            join_at(L, 3, value);
        else if (!hop_is_own(name) && !str_equal_nocase(name, ours[0]) &&
                 !str_equal_nocase(name, ours[1]) &&
                 !(has_list && hop_is_listed(message, head, name)))
            add_to_headers(L, name, value);
    }
    if (message->has_length)
        lua_pushnumber(L, (lua_Number)message->content_length);
    else
        lua_pushnil(L);
    lua_insert(L, 3);
    return 3;
}

void http_push_timing(lua_State *L, const struct fetch *fetch)
{
    const struct fetch_timing *timing = &fetch->timing;
    const struct {
        const char *name;
        uint64_t us;
    } all[] = {{"dns", timing->dns},
               {"connect", timing->connect},
               {"tls", timing->tls},
               {"first_byte", timing->first_byte},
               {"total", timing->total}};
    lua_createtable(L, 0, 5);
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if (all[i].us == 0)
            continue;
        lua_pushnumber(L, (lua_Number)all[i].us / 1e6);
        lua_setfield(L, -2, all[i].name);
    }
}

/* timing(fetch): { dns, connect, tls, first_byte, total }, in seconds; nil for what did not happen
 */
static int l_timing(lua_State *L)
{
    http_push_timing(L, http_check_answer(L));
    return 1;
}

void http_add_answer_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"interim", l_interim},   {"headers", l_headers},   {"forward", l_forward},
        {"timing", l_timing},     {"coding", l_coding},     {"trailers", l_trailers},
        {"decoding", l_decoding}, {"progress", l_progress}, {"raw", l_raw},
        {"want_tls", l_want_tls}, {"tls", l_tls},           {NULL, NULL}};
    vm_add_functions(L, functions);
}
