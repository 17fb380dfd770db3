/*
 * config_load.h - the table that the command line settled (lua/moonloop/cli) as a struct config.
 */
#pragma once

#include "base/config.h"
#include "base/fault.h"

struct lua_State;

/* Reads the table at stack index 1: keys are the option names, times in seconds, sizes in bytes,
 * `workers` and `threads` 0 for auto. NULL with the reason when a value cannot be one. The
 * caller's; config_free. */
struct config *config_load(struct lua_State *L, struct fault *fault);
void config_free(struct config *config);
/* Arguments of commands, in the same table; false and 0 when they are not there. */
bool config_load_flag(struct lua_State *L, const char *name);
uint32_t config_load_count(struct lua_State *L, const char *name);
/* Everything that a running worker would have to be told; paths of the master alone left out. */
bool config_is_same_for_workers(const struct config *a, const struct config *b);
