/*
 * moonloop.core.request, the part that lua/moonloop/proxy.lua alone uses: what of a request goes on
 * to another server.
 */
#include "base/arena.h"
#include "http/conn.h"
#include "http/forwarded.h"
#include "http/forwarded_field.h"
#include "http/hop.h"
#include "http/introduction.h"
#include "http/query.h"
#include "http/request.h"
#include "http/server.h"
#include "script/exchange.h"
#include "script/exchange_parts.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

enum { MAX_HOPS = 100 };

static void push_str(lua_State *L, struct str text)
{
    lua_pushlstring(L, text.ptr, text.len);
}

/* Fields that are dropped or made anew; those with a true are told. */
static const struct special {
    struct str name;
    bool is_told;
} specials[] = {
    {{"via", 3}, true},
    {{"host", 4}, false},
    {{"expect", 6}, false},
    {{"upgrade", 7}, true},
    {{"forwarded", 9}, true},
    {{"x-real-ip", 9}, true},
    {{"connection", 10}, true},
    {{"max-forwards", 12}, true},
    {{"x-request-id", 12}, true},
    {{"http2-settings", 14}, false},
    {{"x-forwarded-for", 15}, true},
    {{"x-forwarded-host", 16}, true},
    {{"x-forwarded-proto", 17}, true},
};

static const struct special *find_special(struct str name)
{
    for (size_t i = 0; i < sizeof(specials) / sizeof(*specials); i++)
        if (specials[i].name.len == name.len && str_equal_nocase(specials[i].name, name))
            return &specials[i];
    return NULL;
}

/* Into the table of what is told, at `index`; several of a name are joined. */
static void tell(lua_State *L, int index, struct str name, struct str value)
{
    push_str(L, name);
    lua_pushvalue(L, -1);
    lua_rawget(L, index);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        push_str(L, value);
    } else {
        lua_pushliteral(L, ", ");
        push_str(L, value);
        lua_concat(L, 3);
    }
    lua_rawset(L, index);
}

/* forward_fields(token): { name, value, ... } that go on as they came; and, by lower-case name,
 * what is made anew: Via, Upgrade, Connection, Forwarded and the like; the version at [1] */
static int l_forward_fields(lua_State *L)
{
    const struct request *request = exchange_check(L, 1)->request;
    const struct message *message = &request->message;
    bool has_list = hop_has_list(message, request->base);
    int count = 0;
    lua_settop(L, 1);
    lua_createtable(L, (int)message->nheaders * 2 + 12, 0);
    lua_newtable(L);
    lua_pushstring(L, message->version == 10 ? "1.0" : "1.1");
    lua_rawseti(L, 3, 1);
    for (uint32_t i = 0; i < message->nheaders; i++) {
        struct str name = request_slice(request, message->headers[i].name);
        struct str value = request_slice(request, message->headers[i].value);
        const struct special *special = find_special(name);
        if (special != NULL && special->is_told)
            tell(L, 3, special->name, value);
        if (special != NULL || hop_is_own(name) ||
            (has_list && hop_is_listed(message, request->base, name)))
            continue;
        push_str(L, name);
        lua_rawseti(L, 2, ++count);
        push_str(L, value);
        lua_rawseti(L, 2, ++count);
    }
    return 2;
}

/* Whether a segment of a decoded path is . or .. */
static bool climbs(struct str path)
{
    size_t start = 0;
    for (size_t i = 0; i <= path.len; i++) {
        if (i < path.len && path.ptr[i] != '/' && path.ptr[i] != '\\')
            continue;
        size_t len = i - start;
        if ((len == 1 || len == 2) && path.ptr[start] == '.' && path.ptr[i - 1] == '.')
            return true;
        start = i + 1;
    }
    return false;
}

/* forward_path(token): the path as it came, and the query; nil when a segment of it, decoded, is .
 * or .. */
static int l_forward_path(lua_State *L)
{
    struct request *request = exchange_check(L, 1)->request;
    struct str path = request_path(request), decoded = path;
    if (memchr(path.ptr, '%', path.len) != NULL) {
        char *copy = (char *)arena_copy(&request->arena, path).ptr;
        decoded = (struct str){copy, percent_decode(copy, path, PERCENT_PLAIN)};
    }
    if (climbs(decoded))
        return 0;
    push_str(L, path);
    push_str(L, request_query(request));
    return 2;
}

/* asker(token): the address of who is connected, a proxy perhaps; whether that is believed; the
 * host that is asked for or nil; the scheme; whether Forwarded is the field that proxies write */
static int l_asker(lua_State *L)
{
    char text[IP_ADDRESS_TEXT_BYTES];
    const struct request *request = exchange_check(L, 1)->request;
    const struct conn *conn = request->conn;
    struct ip_address peer;
    struct str host;
    if (introduction_peer(conn, &peer))
        lua_pushlstring(L, text, ip_address_show(&peer, text));
    else
        lua_pushliteral(L, "unix");
    struct forwarded seen = forwarded_look(request);
    lua_pushboolean(L, seen.is_believed);
    if (request_host(request, &host))
        push_str(L, host);
    else
        lua_pushnil(L);
    lua_pushstring(L, introduction_is_tls(conn) ? "https" : "http");
    lua_pushboolean(L, http_server_config(conn->server)->forwarded_header ==
                           FORWARDED_HEADER_STANDARD);
    return 5;
}

/* A name that a proxy has made up (RFC 7239, 6.3), in place of an address. */
static bool is_made_up(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("._-", text[i]) == NULL)
            return false;
    return len > 1 && *text == '_' && memchr(text, '\0', len) == NULL;
}

/* An address without port or brackets, a made-up name, or "unknown". */
static void push_node(lua_State *L, struct str node)
{
    char text[FORWARDED_ADDRESS_BYTES];
    struct ip_address address;
    size_t len = forwarded_field_text(node, text, sizeof(text));
    if (forwarded_node_address(node, &address))
        lua_pushlstring(L, text, ip_address_show(&address, text));
    else if (is_made_up(text, len))
        lua_pushlstring(L, text, len);
    else
        lua_pushliteral(L, "unknown");
}

static void set_text(lua_State *L, const char *name, struct str value)
{
    char text[256];
    size_t len = forwarded_field_text(value, text, sizeof(text));
    if (len == 0)
        return;
    lua_pushlstring(L, text, len);
    lua_setfield(L, -2, name);
}

/* hops(token): whom the requests that led to this one came from, the first first: { node, proto =,
 * host = }, as far as they are well-formed; and how many of them, from the end, are believed */
static int l_hops(lua_State *L)
{
    const struct request *request = exchange_check(L, 1)->request;
    struct forwarded_trail counted = {.request = request}, trail = counted;
    struct forwarded_hop hop;
    int count = 0;
    while (count < MAX_HOPS && forwarded_trail_next(&counted, &hop))
        count++;
    lua_createtable(L, count, 0);
    for (int at = count; at > 0 && forwarded_trail_next(&trail, &hop); at--) {
        lua_createtable(L, 1, 2);
        push_node(L, hop.node);
        lua_rawseti(L, -2, 1);
        set_text(L, "proto", hop.proto);
        set_text(L, "host", hop.host);
        lua_rawseti(L, -2, at);
    }
    uint32_t depth = forwarded_look(request).depth;
    lua_pushinteger(L, depth < (uint32_t)count ? (lua_Integer)depth : count);
    return 2;
}

void exchange_add_forward_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"forward_fields", l_forward_fields},
                                         {"forward_path", l_forward_path},
                                         {"asker", l_asker},
                                         {"hops", l_hops},
                                         {NULL, NULL}};
    vm_add_functions(L, functions);
}
