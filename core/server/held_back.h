/*
 * held_back.h - what an attempt would still change once its broken apps keep their last good files.
 */
#pragma once

#include "base/snapshot.h"
#include "server/failures.h"

#include <stdbool.h>

/* Whether the app failed and goes on with its last good version. */
bool held_back_is(const struct failures *failures, struct str app);
/* Whether `a` has a file in its "" layer that `b` lacks or has otherwise, files of apps that are
 * held back aside. */
bool held_back_has_news(const struct failures *failures, const struct snapshot *a,
                        const struct snapshot *b);
