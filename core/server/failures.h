/*
 * failures.h - the apps that did not load in one attempt, each once, however many workers said so.
 */
#pragma once

#include "base/buf.h"
#include "server/report.h"

#include <stdbool.h>
#include <stddef.h>

struct failure {
    char *app;
    char *error;       /* "apps/hello.lua:3: ...", then the traceback */
    bool is_held_back; /* its last good version goes on */
};

struct failures {
    struct failure *list;
    size_t count;
};

/* Adds what the report complains of and the list does not have yet. How many that were. */
size_t failures_add(struct failures *failures, const struct report *report);
struct failure *failures_find(const struct failures *failures, struct str app);
void failures_clear(struct failures *failures);
/* One error line an app. */
void failures_log(const struct failures *failures);
/* A JSON array of {"app","error","held_back"}. */
void failures_to_json(const struct failures *failures, struct buf *out);
/* The errors for people, each with its traceback. */
void failures_to_text(const struct failures *failures, struct buf *out);
