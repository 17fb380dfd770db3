#include "script/request_tls.h"

#include "http/conn.h"
#include "http/request.h"
#include "net/stream.h"
#include "script/exchange.h"
#include "script/vm.h"

#include <lauxlib.h>
#include <string.h>

static void set_part(void *data, const char *what, struct str value)
{
    lua_State *L = data;
    lua_pushlstring(L, value.ptr, value.len);
    lua_setfield(L, -2, what);
}

/* tls(token): what is known of the session, texts by name (net/tls_server.h); nil without TLS */
static int l_tls(lua_State *L)
{
    const struct stream *stream = exchange_check(L, 1)->request->conn->stream;
    if (!stream_has_tls(stream))
        return 0;
    lua_newtable(L);
    stream_describe_tls(stream, set_part, L);
    return 1;
}

/* Names gather in a list of their own, at the index below the table. */
static void set_client_part(void *data, const char *what, struct str value)
{
    lua_State *L = data;
    if (strcmp(what, "name") != 0) {
        set_part(L, what, value);
        return;
    }
    lua_pushlstring(L, value.ptr, value.len);
    lua_rawseti(L, -3, (int)lua_objlen(L, -3) + 1);
}

/* client_certificate(token): the same of the client's certificate and, in `names`, a list of its
 * alternative names; nil when it has shown none */
static int l_client_certificate(lua_State *L)
{
    const struct stream *stream = exchange_check(L, 1)->request->conn->stream;
    if (!stream_has_tls(stream))
        return 0;
    lua_newtable(L);
    lua_newtable(L);
    if (!stream_describe_client(stream, set_client_part, L))
        return 0;
    lua_insert(L, -2);
    lua_setfield(L, -2, "names");
    return 1;
}

void request_add_tls_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"tls", l_tls}, {"client_certificate", l_client_certificate}, {NULL, NULL}};
    vm_add_functions(L, functions);
}
