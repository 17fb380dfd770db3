/*
 * child_parts.h - what child_process.c and child_streams.c share. Nobody else includes it.
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "loop/child_process.h"
#include "loop/timer.h"

#include <uv.h>

struct fd_watch;

struct output {
    uv_pipe_t pipe;
    struct child_process *child;
    struct buf bytes;
    size_t taken; /* of bytes: before what is still there */
    size_t want;
    bool is_open;
    bool is_tail; /* nobody has read yet: the last bytes are kept */
    bool is_over;
};

struct child_process {
    struct link link; /* in loop_children, until it is buried */
    struct loop *loop;
    struct launched launched;
    struct fd_watch *watch; /* on its end_fd, while the leader runs */
    struct timer timeout;
    struct timer kill;
    struct timer pipes;
    uint64_t grace_ms;
    uint64_t max_capture;
    uint64_t started_ns;
    struct child_state state;
    struct output outputs[CHILD_OUTPUTS];
    uv_pipe_t input;
    uv_write_t write;
    int written;      /* status of the last write */
    int start_status; /* as child_start_status */
    uint64_t timeout_ms;
    void (*on_news)(void *data, enum child_news news);
    void *data;
    uint8_t nhandles; /* whose close callback is still to come */
    uint8_t nholds;   /* callers that go on using it */
    bool is_input_open;
    bool is_writing;
    bool is_stopping;
    bool is_buried;
    bool is_owned;
};

/* Around whatever tells the owner, who may let go in there. */
void child_hold(struct child_process *child);
void child_unhold(struct child_process *child);
void child_announce(struct child_process *child, enum child_news news);
/* After each event: buries it, or tells that it is gone, when it is time. */
void child_settle(struct child_process *child);
void child_on_pipe_closed(uv_handle_t *handle);

/* Reads, stops reading, or ends it, by what is wanted. */
void output_pump(struct output *output);
/* Drops what nobody wants: everything, the beginning, or what is beyond the limit. */
void output_trim(struct output *output);
void output_end(struct output *output);
