/*
 * helper.h - the process that starts programs for one that may not do so itself.
 *
 * A worker forks it before it gives up fork and exec for good (server/sandbox.c); from then on
 * launch() asks it, over a Unix socket that the worker and its job processes alone have: who sends
 * is checked by the kernel's credentials. Programs are children of the helper, and so start with
 * the umask and the limits that the worker began with. They are killed when whoever asked for them
 * is gone, and the helper ends with its worker, however that ends; when the helper is killed, the
 * kernel kills them with it.
 *
 * One per process, set before there are threads; asked on any thread.
 */
#pragma once

#include "base/launch.h"

#include <stdbool.h>
#include <stddef.h>

/* Forks it. 0 or -errno. */
int helper_start(void);
/* Uses that of the process which started this one, through a descriptor that it gave; false when
 * the descriptor is nothing of the kind. */
bool helper_adopt(int fd);
/* Whether there is one. */
bool helper_is_there(void);
/* The descriptor for helper_adopt in a program that is started; -1: there is no helper. */
int helper_fd(void);
/* Readable once the helper has ended, which leaves this process unable to start programs; -1: it is
 * not ours. */
int helper_end_fd(void);
/* After that: reaps it and says how it ended. */
void helper_describe_end(char *text, size_t bytes);

/* For launch.c: as launch_begin, launch_outcome and launch_has_ended. */
int helper_ask(const struct launch *launch, struct launched *launched);
int helper_take_answer(struct launched *launched);
bool helper_has_ended(const struct launched *launched, struct launch_end *end);

/* For helper.c: the helper's whole life. `life_fd` closes with the worker. */
void helper_process_run(int request_fd, int life_fd, int worker_pid) __attribute__((noreturn));
