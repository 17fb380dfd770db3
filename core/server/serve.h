/*
 * serve.h - `moonloop serve`, and the commands that talk to a running server.
 */
#pragma once

struct command_line;

/* Both close the command line: its VM must be gone before the first fork. The exit code. */
int serve_run(struct command_line *line, const char *lua_dir, int argc, char **argv);
int serve_call(struct command_line *line);
