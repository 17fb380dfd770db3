/*
 * background.h - `daemon` and `pidfile`.
 */
#pragma once

#include "base/fault.h"

#include <stdbool.h>
#include <sys/types.h>

struct background; /* the way back to the process that the user started */

/* Goes on in a child, in a session of its own; the parent waits until background_tell, repeats what
 * is told and exits. NULL with the reason. Before anything else is opened. */
struct background *background_enter(struct fault *fault);
/* Ends the waiting. NULL: all is well, and the standard streams now go nowhere; else the sentence
 * that the user shall see, and exit code 1. Frees; NULL is fine. */
void background_tell(struct background *background, const char *problem);

/* In a forked worker: only forgets the way back. */
void background_leave(struct background *background);

/* Whether the process could write it: nobody else who lives has it. False with the reason. */
bool pidfile_is_free(const char *path, pid_t pid, struct fault *fault);
/* False with the reason, as above. Nothing is written where our number stands already. */
bool pidfile_write(const char *path, struct fault *fault);
/* Removes it if it is still ours. */
void pidfile_remove(const char *path);
