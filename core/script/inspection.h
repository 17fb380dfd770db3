/*
 * inspection.h - `moonloop check` and `moonloop routes`: loads all apps as a worker would, serves
 * none, and has the Lua side print what came of it.
 */
#pragma once

struct command_line;
struct config;

/* Returns the exit code. Reports its own failures on standard error. */
int inspection_run(const struct command_line *line, const struct config *config);
