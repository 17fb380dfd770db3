/*
 * process_parts.h - what lib_process.c and process_wait.c share. Nobody else includes it.
 */
#pragma once

#include "base/list.h"
#include "loop/child_process.h"
#include "script/task.h"

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

extern const char process_gone[]; /* the message of one that was let go */

enum wanted {
    WANTS_CHUNK,
    WANTS_BYTES,
    WANTS_LINE,
    WANTS_ALL,
    WANTS_ROOM,
    WANTS_END,
    WANTS_GONE,
    WANTS_START,
};

struct handle {
    struct child_process *child; /* NULL: let go */
    struct scope_holding holding;
    struct vm *vm;
    int own_ref;               /* of itself, while its scope holds it */
    int bytes_ref;             /* what is being written */
    bool closes_input;         /* once that is written */
    struct link waits;         /* struct process_op */
    struct child_state at_end; /* of one that was let go */
};

struct process_op {
    struct op op;
    struct link link;
    struct handle *handle;
    int handle_ref; /* keeps it from the collector */
    enum wanted wanted;
    enum child_stream stream;
    size_t count;   /* bytes: how many, or the limit */
    size_t scanned; /* no line ends before */
    bool is_complete;
};

/* status or nil, signal or nil, seconds, whether it has timed out, which output was too much or nil
 */
void process_push_state(lua_State *L, const struct child_state *state);
/* What the wait gives, `true, ...` or `false, error`; of a start the process, or nil and the two
 * numbers of child_start_status; 0: not yet. */
int process_push_results(lua_State *L, struct process_op *wait);
void process_push_write_result(lua_State *L, int status);

/* A wait of the running task, for task_wait. The process is at `index`. */
struct process_op *process_wait_new(lua_State *L, int index, struct handle *handle,
                                    enum wanted wanted);
/* One for something from `first` to `last`, on that stream if it is a read; NULL: none. */
struct process_op *process_find_wait(struct handle *handle, enum wanted first, enum wanted last,
                                     enum child_stream stream);

/* For child_options. */
void process_on_news(void *data, enum child_news news);
/* Waits end with an error, the process is let go. While a task runs, or the VM's tasks are dropped:
 * waits that end here are only queued. */
void process_on_scope_end(struct scope_holding *holding);
void process_let_go(struct handle *handle);
/* Its scope keeps it no more. */
void process_leave_scope(struct handle *handle);
