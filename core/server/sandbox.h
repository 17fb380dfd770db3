/*
 * sandbox.h - what a worker, and whatever runs in it or is started by it, may not do any more: gain
 * privileges (no_new_privs), leave a core dump, call the kernel outside a list of system calls
 * (seccomp, by libseccomp).
 *
 * For good. Two filters, one in front of the other: the wide one is inherited by every program that
 * is started; the narrow one is that of processes in which apps run, and takes fork and exec away.
 * Between the two a helper is forked, which starts programs for them (base/helper.h).
 */
#pragma once

#include "base/config.h"

#include <stdbool.h>

/* As `sandbox` and `core_dumps` say. In a worker, before it has threads and after it has become its
 * user. False with errno set when it cannot be had; a kernel without seccomp is no reason. */
bool sandbox_enter(const struct config *config);
/* The narrow filter alone, in a program that a worker has started to run apps in as well. False
 * with errno set. */
bool sandbox_narrow(void);
