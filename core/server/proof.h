/*
 * proof.h - whether a server with this configuration could start in the place of the one that runs:
 * in the process that upgrade.h begins, and nothing of it stays.
 *
 * What can stop a master on its way is tried with the master's rights. The apps are loaded as a
 * worker does it: as the workers' user, in the sandbox.
 */
#pragma once

#include "base/config.h"
#include "base/fault.h"

#include <stdbool.h>

/* False with the reason; errors of apps go to standard error. The process is good for nothing else
 * afterwards: it may have another user, and less of the kernel. */
bool proof_try(const struct config *config, struct fault *fault);

/* Whether the file can be appended to; made when it is missing. NULL and "-" can. False with a
 * sentence that begins with the option's name. */
bool proof_of_log(const char *option, const char *path, struct fault *fault);
