/*
 * process_start.h - from a table of Lua's to a running program, or to why there is none. Beside it
 * what Lua asks about signals and the environment.
 */
#pragma once

#include <lua.h>

struct child_options;
struct child_process;
struct loop;

/* Reads the table at `index` into `options` and starts it, or begins to. NULL: nil and the numbers
 * for process_start_reason are on top of the stack, or nil three times when there are as many as
 * may be. See l_start in lib_process.c for the fields, which Lua has checked. */
struct child_process *process_start(lua_State *L, int index, struct loop *loop,
                                    struct child_options *options);

/* start_reason(table, stage, errno): code and message for a person */
int process_start_reason(lua_State *L);

/* "TERM" for 15; a number as text for one without a name. */
void process_push_signal(lua_State *L, int number);
/* signal("TERM", "SIGTERM" or 15): its number; nil when there is none such */
int process_signal_number(lua_State *L);
/* environment(): our own, { "NAME=value", ... } */
int process_environment(lua_State *L);
