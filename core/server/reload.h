/*
 * reload.h - prove, prepare, commit: how new code reaches all workers in the same moment, or none.
 *
 * Owns the committed snapshot, from which every new worker boots, and the attempt that runs, if
 * any. An attempt reads the apps directory once and has every serving worker build generation N+1
 * beside N: all apps load          -> COMMIT to all an app fails           -> it is held back (its
 * files of the last good generation), and once more nothing else changed, a worker dies, or 10 s
 * pass -> ABORT: nothing changes anywhere
 */
#pragma once

#include "base/config.h"
#include "base/fault.h"
#include "server/failures.h"
#include "server/slots.h"
#include "server/watch.h"

#include <stdbool.h>
#include <stdint.h>

struct reload;

enum reload_outcome {
    RELOAD_COMMITTED, /* everything that is on disk is live */
    RELOAD_PARTIAL,   /* committed, but apps were held back */
    RELOAD_REFUSED,   /* nothing changed; the old code goes on */
};

/* Called once an attempt has ended; `reason` is a sentence. */
typedef void (*reload_done_fn)(void *data, enum reload_outcome outcome, const char *reason);

/* Reads the apps for the first time: as generation `number`. NULL with the reason. */
struct reload *reload_new(struct master_loop *loop, const struct config *config, uint64_t number,
                          struct fault *fault);
void reload_free(struct reload *reload);
/* Before the first worker is forked; the slots outlive the last call of the other functions. */
void reload_use_slots(struct reload *reload, struct slots *slots);
/* NULL: the apps are not watched. */
void reload_use_watch(struct reload *reload, struct watch *watch);
/* After HUP. */
void reload_use_config(struct reload *reload, const struct config *config);
void reload_on_done(struct reload *reload, reload_done_fn on_done, void *data);

enum reload_cause {
    RELOAD_SEEN,         /* a change below the apps directory: nothing to do if no byte differs */
    RELOAD_ASKED,        /* by a person or a signal: builds anew in any case */
    RELOAD_SEEN_OUTSIDE, /* a file changed that the snapshot does not hold */
};

/* Starts an attempt, or one more after the one that runs. */
void reload_start(struct reload *reload, enum reload_cause cause);
/* The number of the attempt that reload_start would begin: the first to see the disk as it is now.
 */
uint64_t reload_next_attempt(const struct reload *reload);
uint64_t reload_attempts_ended(const struct reload *reload);

/* A worker crashed. When workers go on dying of code that has just become live, the code before it
 * comes back: every worker is replaced by one that boots from it. */
void reload_on_crash(struct reload *reload, const struct child *child, const char *why);

/* The slots' events; see slots.h. */
void reload_fill_boot(struct reload *reload, struct worker_boot *boot);
/* The reason why the very first generation could not be built, else NULL. Takes the report. */
const char *reload_on_prepared(struct reload *reload, struct child *child, uint64_t number,
                               struct report *report);
void reload_on_serving(struct reload *reload, struct child *child);
void reload_on_gone(struct reload *reload, const struct child *child, const char *why);

uint64_t reload_generation(const struct reload *reload);  /* the committed one */
uint64_t reload_last_number(const struct reload *reload); /* that was given to one */
/* Of the committed generation; NULL before the first worker has built it. */
const struct report *reload_report(const struct reload *reload);
/* What is wrong with the code on disk; empty when all of it is live. */
const struct failures *reload_failures(const struct reload *reload);
/* Why the last attempt was refused as a whole, NULL when it was not. */
const char *reload_refusal(const struct reload *reload);
