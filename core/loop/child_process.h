/*
 * child_process.h - another program beside a loop: its standard streams, signals to it, its end.
 *
 * It begins at once, or is being started by this worker's helper (base/helper.h) while the loop
 * goes on; whoever lets go of it meanwhile has ended it.
 * Its first process leads a group (base/launch.h). Once that one has ended, the rest of the group
 * has CHILD_PIPES_MS to close the outputs; then, or as soon as they are closed, the group is killed
 * and the leader reaped: it is buried. It is gone when the outputs have ended as well: what was
 * written before is read first. Memory goes once it is gone and its owner has let go of it.
 *
 * On the loop's thread. Uses no SIGCHLD: the end shows on a descriptor.
 */
#pragma once

#include "base/launch.h"
#include "base/str.h"

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct child_process;

enum {
    CHILD_PIPES_MS = 500,           /* for outputs that others of the group hold open */
    CHILD_BUFFER_BYTES = 64 * 1024, /* read ahead of who reads */
    CHILD_LOOP_MS = 500,            /* between TERM and KILL for those that outlive their loop */
};

/* Where a standard stream leads: these, or a descriptor, which is borrowed while it starts. */
enum child_place { CHILD_NULL = -1, CHILD_PIPE = -2, CHILD_OUTPUT_TOO = -3 /* stderr alone */ };

enum child_stream { CHILD_STDOUT, CHILD_STDERR, CHILD_OUTPUTS };

enum child_news {
    CHILD_HAS_STARTED, /* or could not: child_start_status tells. Only if it was being started */
    CHILD_HAS_STDOUT,  /* bytes came, or its end did */
    CHILD_HAS_STDERR,
    CHILD_HAS_WRITTEN, /* what child_write began */
    CHILD_HAS_ENDED,   /* its leader; child_end tells how */
    CHILD_IS_BURIED,
    CHILD_IS_GONE,
};

struct child_options {
    struct launch launch; /* but for its descriptors */
    int places[3];
    uint64_t timeout_ms;  /* since it began; then it is stopped. 0: never */
    uint64_t grace_ms;    /* between TERM and KILL */
    uint64_t max_capture; /* bytes of each output that are collected; one that writes more is
                             stopped, the rest dropped. 0: outputs are read as they are taken */
    /* Never from child_start; not after child_let_go, which may be called in there. */
    void (*on_news)(void *data, enum child_news news);
    void *data;
};

struct child_state {
    struct launch_end end; /* once has_ended */
    uint64_t duration_us;  /* of the leader, so far; since child_start */
    bool has_ended;
    bool is_gone;
    bool has_timed_out;
    bool is_over[CHILD_OUTPUTS]; /* wrote more than max_capture */
};

/* NULL: it could not be started; `error` has the negative errno, `stage` what failed. */
struct child_process *child_start(struct loop *loop, const struct child_options *options,
                                  enum launch_stage *stage, int *error);
/* 1: it is being started. 0: it has begun. A negative errno, and what failed in `stage`: it could
 * not; all that is left to do is child_let_go. */
int child_start_status(const struct child_process *child, enum launch_stage *stage);
/* The owner hears no more and may not use it again; what still runs is stopped. */
void child_let_go(struct child_process *child);
/* The following once it has begun. */
int child_pid(const struct child_process *child);
struct child_state child_state(const struct child_process *child);
/* To the whole group, unless it is buried. */
void child_signal(struct child_process *child, int signal);
/* TERM to the whole group now, KILL after its grace. Harmless when that has begun, or it has ended.
 */
void child_stop(struct child_process *child);

/* 1: written. 0: CHILD_HAS_WRITTEN will come, `bytes` are borrowed until then or until
 * child_close_input, one write at a time. -EPIPE: nobody reads them. */
int child_write(struct child_process *child, struct str bytes);
/* What the last write ended with: 0 or -EPIPE. */
int child_written(const struct child_process *child);
/* Ends its standard input; gives up a write that is under way. */
void child_close_input(struct child_process *child);

/* What was read and not taken; borrowed until the next turn of the loop or child_take. */
struct str child_output(const struct child_process *child, enum child_stream stream);
void child_take(struct child_process *child, enum child_stream stream, size_t bytes);
/* Whether no more will come. */
bool child_output_has_ended(const struct child_process *child, enum child_stream stream);
/* Reads ahead until so much is there, CHILD_BUFFER_BYTES at least. Until this is called for stderr,
 * the last CHILD_BUFFER_BYTES of it are kept and all is read, so that nobody has to. */
void child_want(struct child_process *child, enum child_stream stream, size_t bytes);
/* Back to CHILD_BUFFER_BYTES from the next read on; calls nobody. */
void child_want_less(struct child_process *child, enum child_stream stream);

/* How many are not buried yet. */
uint32_t children_count(struct loop *loop);
