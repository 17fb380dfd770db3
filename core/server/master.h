/*
 * master.h - the process that the user started: binds, forks, watches, supervises; runs no app
 * code.
 */
#pragma once

#include "base/config.h"
#include "base/fault.h"

/* Where the configuration comes from when HUP asks for it anew. */
struct config_source {
    struct config *(*load)(void *data, struct fault *fault); /* NULL with the reason */
    void *data;
    char **argv; /* of the process: an upgrade executes them again */
};

/* Serves until it is told to stop; takes the config over. The exit code: 0 after an orderly stop, 1
 * when it could not start (said in one line on standard error) or had to use force. In workers it
 * does not return. */
int master_run(struct config *config, const struct config_source *source);
