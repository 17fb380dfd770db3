/*
 * held_back.h - what an attempt would still change once its broken apps keep their last good files.
 */
#pragma once

#include "base/snapshot.h"
#include "server/failures.h"

#include <stdbool.h>

/* Whether the app loaded in the committed generation, whose report this is (NULL: none yet). */
bool held_back_is_possible(const struct report *committed, struct str app);
/* Marks the failed apps that have a good version, and puts their names, which stay the failures',
 * into `names`. How many there are. */
size_t held_back_mark(struct failures *failures, const struct report *committed, struct str *names);
/* Whether the app failed and goes on with its last good version. */
bool held_back_is(const struct failures *failures, struct str app);
/* Whether `a` has a file in its "" layer that `b` lacks or has otherwise, files of apps that are
 * held back aside. */
bool held_back_has_news(const struct failures *failures, const struct snapshot *a,
                        const struct snapshot *b);
