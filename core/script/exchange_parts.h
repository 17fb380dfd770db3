/*
 * exchange_parts.h - what the files behind moonloop.core.request share; for them alone.
 */
#pragma once

#include <lua.h>

struct exchange;

/* Waits until exchange.c wakes it: more of the body is there, or the client has taken what was
 * queued. Raises when another task waits already. */
int exchange_wait(lua_State *L, struct exchange *exchange);
/* Adds what answers before the handler returns to the table on top: begin, write, is_begun,
 * interim, upgrade. */
void exchange_add_stream_functions(lua_State *L);
