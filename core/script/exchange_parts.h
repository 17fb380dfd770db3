/*
 * exchange_parts.h - what the files behind moonloop.core.request share; for them alone.
 */
#pragma once

#include <lua.h>

struct exchange;
struct op;

/* Waits at `place`, the body_wait or the client_wait of an exchange, until exchange.c wakes it.
 * Raises when another task waits there already. */
int exchange_wait(lua_State *L, struct op **place);
/* It is over: whoever still waits, beside the handler, raises `finished`. */
void exchange_end_waits(struct exchange *exchange);
/* Adds what answers before the handler returns to the table on top: begin, write, is_begun,
 * interim, upgrade. */
void exchange_add_stream_functions(lua_State *L);
/* The same with what a proxy hands on: forward_fields, forward_path, asker. */
void exchange_add_forward_functions(lua_State *L);
