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
 * not to start. */
bool shared_dict_prepare(const struct config *config, const struct privileges *privileges,
                         struct fault *fault);
void shared_dict_remove(void);
