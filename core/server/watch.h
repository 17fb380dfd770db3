/*
 * watch.h - tells when files of the apps change: one inotify descriptor, in the master.
 *
 * Watches the apps directory with everything below it, also directories that come later, and single
 * files elsewhere (by their directory, so that an editor's rename-over is seen). Many events in a
 * row become one call, 50 ms after the last and at most half a second after the first.
 */
#pragma once

#include "base/str.h"
#include "server/master_loop.h"

#include <stddef.h>

struct watch;

/* Something changed. `is_outside`: not (only) below the directory. */
typedef void (*watch_changed_fn)(void *data, bool is_outside);

/* NULL with errno set when inotify gives no descriptor. `dir` may come and go. */
struct watch *watch_new(struct master_loop *loop, const char *dir, watch_changed_fn on_changed,
                        void *data);
/* In a forked worker (after master_loop_disown) the master's watches stay. */
void watch_free(struct watch *watch);
/* Watches these absolute paths besides the directory, instead of those of the last call. */
void watch_set_files(struct watch *watch, const struct str *files, size_t nfiles);
