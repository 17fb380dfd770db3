/*
 * pool_job.h - one job as its caller sees it: sending it, waiting for its end, and reading what it
 * sends ahead. Functions of moonloop.core.offload; see lib_offload.c. The loop's thread only.
 */
#pragma once

#include <lua.h>

struct offload;
struct vm;

#define POOL_NAME "moonloop.core.pool"

/* What Lua holds of a pool. */
struct pool_box {
    struct offload *pool; /* NULL once it was closed */
};

/* That at `index`; raises `closed`. */
struct offload *pool_check(lua_State *L, int index);

int l_job_new(lua_State *L);
int l_job_submit(lua_State *L);
int l_job_next(lua_State *L);
int l_job_keep(lua_State *L);
int l_job_end(lua_State *L);
int l_job_dropped(lua_State *L);
/* Makes the metatable of what l_job_new gives. */
void pool_job_prepare(lua_State *L);
