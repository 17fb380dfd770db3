/*
 * retreat.h - the way back to the program before this one, for a master that crashes, exits or
 * hangs in or soon after an upgrade: a signal handler executes that program, in the same process
 * and with everything that the server has at that moment.
 *
 * From the beginning of main until the new program has proved itself for a minute. What the handler
 * needs lies ready at all times; it makes system calls alone. The master's own, on its one thread;
 * in a process that it forks nothing of it works.
 */
#pragma once

#include "server/handover.h"

#include <stdbool.h>

enum {
    RETREAT_MS = 60 * 1000, /* so long after the upgrade is done there is a way back */
    RETREAT_EXITED = -1,    /* in handover.cause: it called exit; else a signal's number */
};

/* First in main. Does nothing in a process that was left nothing. False: this program, or the one
 * before it, has crashed time and again, and while it waited the server was told to stop. */
bool retreat_arm(char **argv);
bool retreat_is_armed(void);
/* What would be left now. Called whenever it may have changed, half a minute apart at most: else we
 * hang. */
void retreat_keep(const struct handover *handover);
/* Where the command line's relative paths begin; borrowed. */
void retreat_use_directory(int fd);
/* Goes there, if it was told. */
void retreat_enter_directory(void);
/* There is no way back any more. */
void retreat_end(void);
/* In a forked process. */
void retreat_leave(void);
