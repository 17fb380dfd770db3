/*
 * lua_dir.h - where moonloop's own Lua files are.
 */
#pragma once

/* MOONLOOP_LUA_DIR, else share/moonloop/lua beside the bin directory of the executable, else lua/
 * of the source tree that it was built from. Absolute, owned by the caller; NULL when none of them
 * is there. */
char *lua_dir_find(void);
