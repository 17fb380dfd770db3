#include "script/lib_host.h"

#include "net/host_address.h"
#include "script/vm.h"

#include <sys/socket.h>

/* ip() -> text: IPv4 where there is a route for it, else IPv6, else 127.0.0.1. Raises nothing. */
static int l_ip(lua_State *L)
{
    char text[HOST_ADDRESS_BYTES];
    if (host_address(AF_INET, text) != 0 && host_address(AF_INET6, text) != 0)
        host_address(AF_INET, text);
    lua_pushstring(L, text);
    return 1;
}

int luaopen_moonloop_core_host(lua_State *L)
{
    static const luaL_Reg functions[] = {{"ip", l_ip}, {NULL, NULL}};
    vm_library(L, functions);
    return 1;
}
