/*
 * process_child.h - the process that runs jobs for a pool of kind "process" (process_vm.h): reads
 * them from its parent, runs them one after the other in a worker VM, writes what came of them.
 *
 * Its main thread does that; loop/parent_link.h listens meanwhile.
 */
#pragma once

#include "base/str.h"

#include <lua.h>
#include <stdint.h>

struct process_child;

/* The whole process: `moonloop offload-process [ROLE]`. Returns the exit code. */
int process_child_run(int argc, char **argv);
/* Pushes the bytes that the parent's origin has under this number. Ends the process when the parent
 * has gone. */
void process_child_push_blob(struct process_child *child, uint32_t number, lua_State *L);
/* To the subscribers of a topic, in every worker; the length has been checked. */
void process_child_publish(struct process_child *child, struct str topic, struct str bytes);
