/*
 * one_shot.h - `moonloop run`, `test` and `fetch`: one main task in a VM and a loop of their own,
 * on the calling thread, until it has ended.
 */
#pragma once

/* Runs lua/moonloop/cli's half of the command in argv. Returns the exit code. */
int one_shot_run(const char *lua_dir, int argc, char **argv);
