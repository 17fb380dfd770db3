/*
 * sandbox.h - what a worker, and whatever runs in it or is started by it, may not do any more: gain
 * privileges (no_new_privs), leave a core dump, call the kernel outside a list of system calls
 * (seccomp, by libseccomp).
 *
 * For good, and inherited by every program that the worker starts.
 */
#pragma once

#include "base/config.h"

#include <stdbool.h>

/* As `sandbox` and `core_dumps` say. In a worker, before it has threads and after it has become its
 * user. False with errno set when it cannot be had; a kernel without seccomp is no reason. */
bool sandbox_enter(const struct config *config);
