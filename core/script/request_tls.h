/*
 * request_tls.h - what the module moonloop.core.request tells of a request's TLS: the session, and
 * who the client has shown to be.
 */
#pragma once

#include <lua.h>

/* Into the table at the top of the stack. */
void request_add_tls_functions(lua_State *L);
