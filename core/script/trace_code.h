/*
 * trace_code.h - whether code that LuaJIT has compiled is among the callers of who asks.
 *
 * LuaJIT 2.1, as Debian has it, raises "not enough memory" from compiled code with a stack base
 * that is out of date, and crashes now and then. Slow: it reads /proc/self/maps. On the VM's
 * thread.
 */
#pragma once

#include <stdbool.h>

/* `bottom`: of the C stack, an address in a frame below which no compiled code runs. May say true
 * for code that has returned; never false for code that has not. */
bool trace_code_is_below(const void *bottom);
