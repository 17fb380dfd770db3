/*
 * report.h - what a worker tells the master about a generation that it has built: how each app
 * loaded, the routes, and which files outside the apps directory have to be watched.
 *
 * Made on the worker's side from a generation, read on the master's; owns all its texts.
 */
#pragma once

#include "base/buf.h"
#include "script/generation.h"

#include <stdbool.h>
#include <stddef.h>

struct report {
    bool is_built; /* false: nothing could be built; `fault` says why */
    struct str fault;
    struct app_report *apps;
    size_t napps;
    struct route_info *routes;
    size_t nroutes;
    struct str *files;
    size_t nfiles;
    struct buf bytes; /* what the texts above point into */
};

/* `generation` may be NULL: then `fault` tells why. Appends to `bytes`. */
void report_encode(struct buf *bytes, const struct generation *generation,
                   const struct fault *fault);
/* Takes the bytes over. NULL when they are no report. */
struct report *report_decode(struct buf *bytes);
void report_free(struct report *report);
/* The app's line, or NULL. */
const struct app_report *report_app(const struct report *report, struct str name);
