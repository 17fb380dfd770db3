/*
 * launch.h - starts another program: one call, nothing of ours in it but what was asked for.
 *
 * The child has a session and so a process group of its own (its id is the child's), no controlling
 * terminal, default signal dispositions, no blocked signals, and just the descriptors it was given.
 * It is killed when the thread that started it ends (with a helper: when this process does),
 * however that ends: its own children are not. umask, limits, priority and oom score are ours. On
 * any thread. launch() stands still until the program has begun or could not, which takes a
 * millisecond, or as long as a busy machine lets the helper wait; a loop uses launch_begin.
 *
 * Needs Linux 5.9. SIGCHLD is neither used nor touched: a descriptor can be read once the child
 * ends. Where this process may start no program itself, helper.h does; it looks the same from here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { LAUNCH_MAX_FDS = 16 };

struct launch {
    /* Ends with NULL, like `env`. The first is the program: it is looked for in the PATH of `env`
     * unless it has a slash. */
    const char *const *argv;
    const char *const *env; /* "NAME=value"; NULL: ours */
    const char *cwd;        /* NULL: ours. A program with a relative path is looked for there */
    const int *fds;         /* fds[i] becomes descriptor i; -1: /dev/null. Ours stay open */
    uint32_t nfds;          /* 3 to LAUNCH_MAX_FDS */
};

enum launch_stage {
    LAUNCH_CLONE,
    LAUNCH_DESCRIPTORS,
    LAUNCH_CWD,
    LAUNCH_EXEC,
    LAUNCH_INTERPRETER, /* the program is there, what its first line or its header names is not */
    LAUNCH_HELPER,      /* that starts programs for us: it is gone */
};

struct launched {
    int pid;                 /* 0: it has not begun */
    int end_fd;              /* the caller's to close; readable once the child has ended */
    enum launch_stage stage; /* at which it failed */
    bool by_helper;          /* else end_fd is a pidfd */
};

struct launch_end {
    bool is_known; /* false: somebody else has waited for it, or SIGCHLD is ignored */
    int status;    /* exit code, 0 to 255; -1: a signal ended it */
    int signal;    /* 0: none */
};

/* 0, or a negative errno: then there is no child, and `launched->stage` says what failed. */
int launch(const struct launch *launch, struct launched *launched);
/* The same without waiting for the helper; as long as `pid` is 0, end_fd becomes readable once
 * launch_outcome knows more. Who closes it before has given up: the program ends, if it begins. */
int launch_begin(const struct launch *launch, struct launched *launched);
/* What became of launch_begin: 1: nothing yet; 0, or a negative errno, as launch. */
int launch_outcome(struct launched *launched);
/* Whether the child has ended, and how. Does not reap: while it is not, its id and that of its
 * group are nobody else's. */
bool launch_has_ended(const struct launched *launched, struct launch_end *end);
/* A signal to its whole group; to be called before it is reaped. */
void launch_signal(const struct launched *launched, int signal);
/* Reaps it and closes end_fd. Waits for its end, at most so long (-1: for ever); beyond that it
 * only closes end_fd. */
void launch_reap(struct launched *launched, int wait_ms);
