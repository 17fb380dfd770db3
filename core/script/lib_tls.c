#include "script/lib_tls.h"

#include "base/buf.h"
#include "base/fault.h"
#include "net/tls.h"
#include "net/tls_file.h"
#include "net/tls_material.h"
#include "net/tls_server.h"

#include <lauxlib.h>

/* The texts of the list at `index`, with newlines between; NULL when it is empty. */
static const char *join(lua_State *L, int index, struct buf *lines)
{
    luaL_checktype(L, index, LUA_TTABLE);
    for (int i = 1; i <= (int)lua_objlen(L, index); i++) {
        lua_rawgeti(L, index, i);
        buf_add_text(lines, i > 1 ? "\n" : "");
        buf_add_text(lines, lua_isstring(L, -1) ? lua_tostring(L, -1) : "");
        lua_pop(L, 1);
    }
    if (lines->len == 0)
        return NULL;
    buf_add_char(lines, '\0');
    return lines->ptr;
}

/* check({ certfile, ... }, { keyfile, ... }, ca_certs or nil): nil, or why they cannot be used */
static int l_check(lua_State *L)
{
    struct fault fault = {0};
    struct buf certs = {0}, keys = {0}, material = {0};
    struct tls_material_files files = {.ca_certs = luaL_optstring(L, 3, NULL)};
    luaL_checktype(L, 2, LUA_TTABLE);
    files.certfiles = join(L, 1, &certs);
    files.keyfiles = join(L, 2, &keys);
    files.clients = files.ca_certs != NULL ? TLS_CLIENTS_MUST : TLS_CLIENTS_NOT_ASKED;
    struct tls_context *tls = NULL;
    if (tls_material_read(&files, &material, &fault))
        tls = tls_context_new_server(buf_str(&material), NULL, &fault);
    bool is_good = tls != NULL;
    tls_context_free(tls);
    tls_file_forget(&material);
    buf_deinit(&certs);
    buf_deinit(&keys);
    if (is_good)
        return 0;
    lua_pushstring(L, fault.text);
    return 1;
}

int luaopen_moonloop_core_tls(lua_State *L)
{
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_check); /* not vm_library: also the command line's state has it */
    lua_setfield(L, -2, "check");
    return 1;
}
