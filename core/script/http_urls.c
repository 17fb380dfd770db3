/*
 * What the client's Lua half does with URLs, as functions of moonloop.core.http.
 */
#include "script/http_parts.h"
#include "script/vm.h"

#include "base/buf.h"
#include "http/proxy.h"
#include "http/query.h"
#include "http/url.h"

#include <lauxlib.h>

static struct str check_str(lua_State *L, int index)
{
    struct str text;
    text.ptr = luaL_checklstring(L, index, &text.len);
    return text;
}

static void set_str(lua_State *L, const char *name, struct str text)
{
    lua_pushlstring(L, text.ptr != NULL ? text.ptr : "", text.len);
    lua_setfield(L, -2, name);
}

/* parse(url): { scheme =, host =, port =, userinfo = or nil }; or nil and what is wrong. An IPv6
 * host is without its brackets, a Unix socket's as it is written. */
static int l_parse(lua_State *L)
{
    static const char *const schemes[] = {"http", "https", "http+unix"};
    struct str text = check_str(L, 1);
    struct url url;
    struct url_error error;
    if (url_parse(text, &url, &error) != 0) {
        lua_pushnil(L);
        lua_pushstring(L, error.reason);
        return 2;
    }
    lua_createtable(L, 0, 4);
    set_str(L, "scheme", str_of(schemes[url.scheme]));
    set_str(L, "host", url.host);
    lua_pushinteger(L, url.port);
    lua_setfield(L, -2, "port");
    if (url.has_userinfo)
        set_str(L, "userinfo", url.userinfo);
    return 1;
}

/* proxy(url): how it is named to people, without user and password; or nil and what is wrong */
static int l_proxy(lua_State *L)
{
    const char *reason;
    struct proxy *proxy = proxy_new(check_str(L, 1), &reason);
    if (proxy == NULL) {
        lua_pushnil(L);
        lua_pushstring(L, reason);
        return 2;
    }
    lua_pushstring(L, proxy->name);
    proxy_free(proxy);
    return 1;
}

static int push_buf(lua_State *L, struct buf *buf)
{
    lua_pushlstring(L, buf->len != 0 ? buf->ptr : "", buf->len);
    buf_deinit(buf);
    return 1;
}

/* resolve(base, reference): an absolute URL, not checked; nil when base is none */
static int l_resolve(lua_State *L)
{
    struct buf out = {0};
    struct str base = check_str(L, 1), reference = check_str(L, 2);
    if (url_resolve(&out, base, reference) == 0)
        return push_buf(L, &out);
    buf_deinit(&out);
    return 0;
}

/* same_origin(a, b) */
static int l_same_origin(lua_State *L)
{
    struct url a, b;
    struct url_error error;
    lua_pushboolean(L, url_parse(check_str(L, 1), &a, &error) == 0 &&
                           url_parse(check_str(L, 2), &b, &error) == 0 && url_same_origin(&a, &b));
    return 1;
}

/* encode(text): for a query string or a form */
static int l_encode(lua_State *L)
{
    struct buf out = {0};
    percent_add(&out, check_str(L, 1), PERCENT_FORM);
    return push_buf(L, &out);
}

/* decode(text): percent-encoding, a plus stays one */
static int l_decode(lua_State *L)
{
    struct str text = check_str(L, 1);
    char *out = lua_newuserdata(L, text.len + 1);
    lua_pushlstring(L, out, percent_decode(out, text, PERCENT_PLAIN));
    return 1;
}

/* user_agent(): what that field says unless a request has its own */
static int l_user_agent(lua_State *L)
{
    lua_pushliteral(L, "moonloop/" MOONLOOP_VERSION);
    return 1;
}

void http_add_url_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"parse", l_parse},
                                         {"resolve", l_resolve},
                                         {"same_origin", l_same_origin},
                                         {"encode", l_encode},
                                         {"decode", l_decode},
                                         {"proxy", l_proxy},
                                         {"user_agent", l_user_agent},
                                         {NULL, NULL}};
    vm_add_functions(L, functions);
}
