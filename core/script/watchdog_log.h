/*
 * watchdog_log.h - what the watchdog writes into the log: who held the loop, where, for how long.
 *
 * On the loop thread, when the slice is over, while vm->current is still who it was.
 */
#pragma once

#include "script/vm.h"

#include <lua.h>
#include <stdint.h>

/* The error that ended the slice is on top of the stack of `co`, and marked as logged. */
void watchdog_log_interrupted(struct vm *vm, lua_State *co);
/* A slice that ended by itself. `place` is the line that took longest, "" when none did. */
void watchdog_log_noticed(struct vm *vm, const char *place, uint64_t held_ms);
