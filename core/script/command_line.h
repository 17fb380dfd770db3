/*
 * command_line.h - what the user asked for: argv, the environment and moonloop.conf.lua, settled by
 * lua/moonloop/cli in a Lua VM of its own.
 *
 * The VM lives as long as the command line and runs no app. It is closed before workers are forked.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"

#include <stdbool.h>

struct command_line;
struct lua_State;

/* Parses the words. What is wrong with them has been printed already and makes the command "exit".
 * NULL with the reason in `fault` when the Lua side itself failed: our bug, or files that are
 * missing. */
struct command_line *command_line_new(const char *lua_dir, int argc, char **argv,
                                      struct fault *fault);
void command_line_free(struct command_line *line);

/* "serve", "check", ... or "exit". Owned by the command line. */
const char *command_line_command(const struct command_line *line);
/* Of the command "exit". The message is what was wrong with the words or the configuration, one
 * line for a person; NULL when nothing was. Owned by the command line. */
int command_line_exit_code(const struct command_line *line);
const char *command_line_message(const struct command_line *line);
/* The table of settled options is at index 1 of this stack, which is otherwise empty. */
struct lua_State *command_line_state(const struct command_line *line);

/* What the server has answered to this command, as text for people; appended. False when the Lua
 * side cannot make any of it. */
bool command_line_render(struct command_line *line, struct str answer, struct buf *text);

/* "8.1.0": the parser library that this was built with. For `moonloop version`, by FFI. */
const char *command_line_llhttp_version(void);
