/*
 * json.h - JSON both ways, between the Lua stack and bytes (RFC 8259). docs/json.md has the rules.
 *
 * Works on any VM, also in offload threads. Never yields.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <lua.h>
#include <stddef.h>

enum { JSON_MAX_DEPTH = 100 };

enum json_style { JSON_COMPACT, JSON_PRETTY };

/* Adds the JSON text of the value at `index` to `out`. 0; or -EINVAL with a text pushed that names
 * the offending value ("items[3].user: cannot encode a function"), `out` then being as before.
 * Raises only what a __tojson metamethod raises; what was added to `out` until then stays. */
int json_encode(lua_State *L, int index, struct buf *out, int style);

/* Pushes the value that `text` stands for. 0; or -EINVAL with a text pushed instead: "json: line 2
 * column 14: expected ',' or '}'". Columns count bytes from 1. */
int json_decode(lua_State *L, struct str text);

/* For the two halves: how many bytes the UTF-8 sequence at `at` has, 0 when it is invalid (RFC
 * 3629: no overlong forms, no surrogates). at < end. */
size_t json_utf8_len(const char *text, const char *end);
/* Pushes the metatable that marks a table as an array. One per VM. */
void json_push_array_mark(lua_State *L);
