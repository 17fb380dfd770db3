/*
 * serve.h - `moonloop serve`, and the commands that talk to a running server.
 */
#pragma once

#include <stdbool.h>

struct command_line;

/* serve_run and serve_call close the command line: its VM must be gone before the first fork. The
 * exit code. */
int serve_run(struct command_line *line, const char *lua_dir, int argc, char **argv);
/* Whether such a server could go on with these words, see proof.h. Closes the command line. The
 * exit code; see upgrade.h. */
int serve_prove(struct command_line *line);
/* Whether the command is one for a running server. */
bool serve_is_call(const struct command_line *line);
int serve_call(struct command_line *line);
