/*
 * log_context.h - what a line of the log belongs to: a request (its id, its app, its route), or a
 * job of an app. Travels with jobs to other threads and processes.
 */
#pragma once

#include "base/log.h"
#include "http/request.h"

#include <stdbool.h>

struct vm;

enum { LOG_APP_BYTES = 64, LOG_ROUTE_BYTES = 160, LOG_JOB_BYTES = 64, LOG_CONTEXT_FIELDS = 4 };

struct log_context {
    bool is_set; /* else it belongs to nothing */
    bool has_request;
    char request_id[REQUEST_ID_BYTES];
    char app[LOG_APP_BYTES]; /* cut to fit, as the next */
    char route[LOG_ROUTE_BYTES];
    char job[LOG_JOB_BYTES]; /* "": none */
};

/* That of the code which runs now in `vm`: of the running task's request, or on the other side of a
 * job that of its caller. */
void log_context_read(struct vm *vm, struct log_context *context);
/* As fields, borrowed from the context; how many. */
size_t log_context_fields(const struct log_context *context,
                          struct log_field fields[LOG_CONTEXT_FIELDS]);
