/*
 * log_context.h - which request a line of the log belongs to: its id, its app, its route. Travels
 * with jobs to other threads and processes.
 */
#pragma once

#include "http/request.h"

#include <stdbool.h>

struct vm;

enum { LOG_APP_BYTES = 64, LOG_ROUTE_BYTES = 160 };

struct log_context {
    bool is_set; /* else there is no request */
    char request_id[REQUEST_ID_BYTES];
    char app[LOG_APP_BYTES]; /* cut to fit, as the next */
    char route[LOG_ROUTE_BYTES];
};

/* That of the code which runs now in `vm`: of the running task's request, or on the other side of a
 * job that of its caller. */
void log_context_read(struct vm *vm, struct log_context *context);
