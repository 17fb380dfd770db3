/*
 * shared_dict.h - the server's shared dictionary, as the master sees it: a directory that is there
 * before the first worker and gone after the last. The master never keeps it open: its workers are
 * forks.
 */
#pragma once

#include "base/config.h"
#include "base/fault.h"
#include "server/privileges.h"

#include <stdbool.h>

/* A directory that the user named is tried: a file that is none of ours, or damaged, is a reason
 * not to start. `own_path`: that of the program which this process was before; NULL: none. */
bool shared_dict_prepare(const struct config *config, const struct privileges *privileges,
                         const char *own_path, struct fault *fault);
/* A directory that is ours to remove; NULL: the user named one. */
const char *shared_dict_own_path(const struct config *config);
void shared_dict_remove(void);
