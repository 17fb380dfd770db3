/*
 * uv_loop.h - the libuv loop inside a loop, for the rooms that may touch libuv (loop, net).
 */
#pragma once

#include <uv.h>

struct loop;

uv_loop_t *loop_uv(struct loop *loop);
