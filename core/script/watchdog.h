/*
 * watchdog.h - interrupts Lua that holds the loop of its thread for longer than block_limit.
 *
 * One per worker. A thread of its own looks at the number of the slice that runs on the loop
 * thread; when it has seen the same one for too long it sends that thread a signal, whose handler
 * sets a debug hook that raises. Compiled code never looks at hooks; LuaJIT's profiler, started in
 * line mode, makes it leave at the next SIGPROF, which the handler sends as well. The profiler
 * knows one VM in a process: the current generation's is compiled, in all others the compiler is
 * off and a hook alone will do.
 */
#pragma once

#include "script/vm.h"

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

struct config;
struct watchdog;

/* Call it on the loop thread that is to be watched. Without a block_limit nothing is ever
 * interrupted and no thread is started. */
struct watchdog *watchdog_new(const struct config *config);
/* On the same thread, after the last VM has left. NULL is fine. */
void watchdog_free(struct watchdog *watchdog);

/* From now on the slices of this VM are watched. Before any code of an app is loaded. */
bool watchdog_join(struct watchdog *watchdog, struct vm *vm, struct fault *fault);
/* This VM is the one to be compiled; the one that was is so no more. Between two slices. */
void watchdog_favour(struct watchdog *watchdog, struct vm *vm);
/* Before the VM is freed. */
void watchdog_leave(struct vm *vm);

/* For vm.c, when a route of this VM has blocked before: the slices of such a route are timed line
 * by line, to name the line. */
void watchdog_before_slice(struct vm *vm, uint32_t route);
/* After a slice that held the loop for long, when vm_slice_ends says so: takes the hook away, logs,
 * and gives what the slice's status is now. LUA_ERRRUN with the error on top of `co` when it was
 * interrupted, also when the code had caught that. */
int watchdog_after_slice(struct vm *vm, lua_State *co, int status);
