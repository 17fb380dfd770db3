/*
 * upgrade.h - SIGUSR2: the server goes on as another program, in the same process and on the same
 * sockets.
 *
 * First the binary that now lies where ours came from has to prove that it can: run beside us with
 * our own words, it reads the configuration and loads every app. Then the master executes that very
 * file, whatever lies there by then, in its own place (handover.h). The workers go on serving
 * meanwhile; each leaves when its successor serves. Whatever is wrong before the exec changes
 * nothing; what is wrong after it, and before the program has taken over, brings us back
 * (handover_return), and so does a crash soon after (retreat.h).
 */
#pragma once

#include "base/fault.h"
#include "server/master_loop.h"

#include <stdbool.h>

/* The first word of the proof's command line; the others are the server's. */
#define UPGRADE_PROOF_WORD "--prove-upgrade"

struct upgrade;

struct upgrade_events {
    /* The binary has proved itself: to be executed with upgrade_execute. */
    void (*on_proved)(void *data);
    /* It has not; `reason` for people. */
    void (*on_refused)(void *data, const char *reason);
};

/* `argv` is the server's own; it, the loop and the events are borrowed. `binary`: the path to look
 * at, where it is known better than by that of this program, which may have been moved away; else
 * NULL. */
struct upgrade *upgrade_new(struct master_loop *loop, char **argv, const char *binary,
                            const struct upgrade_events *events, void *data);
/* Ends a proof that runs. NULL is fine. */
void upgrade_free(struct upgrade *upgrade);
/* In a forked worker: only closes what is open. */
void upgrade_leave(struct upgrade *upgrade);
bool upgrade_is_running(const struct upgrade *upgrade);
/* Begins the proof; one of the events follows. False with the reason when it cannot begin. */
bool upgrade_start(struct upgrade *upgrade, struct fault *fault);
/* Becomes the program; returns -errno only. What is to be kept has been marked before. */
int upgrade_execute(const struct upgrade *upgrade);
/* The program that runs, for execveat(2), whatever has become of its file. */
int upgrade_own_fd(const struct upgrade *upgrade);
const char *upgrade_binary(const struct upgrade *upgrade);

/* In the process that upgrade_start began, when all is well there: the last thing it says. */
void upgrade_print_proof(void);
