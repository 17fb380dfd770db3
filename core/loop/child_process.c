/*
 * Three pipes, a pidfd and three timers with one way out: the leader ends, it is buried, the
 * outputs end, the pipes' close callbacks come, the memory goes.
 */
#include "loop/child_process.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "loop/loop_parts.h"
#include "loop/timer.h"
#include "loop/uv_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <uv.h>

enum { READ_BYTES = 64 * 1024, KEPT_BYTES = 256 * 1024, KILLED_MS = 1000 };

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
    struct fd_watch *watch; /* on the pidfd, while the leader runs */
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
    int written; /* status of the last write */
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

/* ---- life ---- */

static void hold(struct child_process *child)
{
    child->nholds++;
}

static void unhold(struct child_process *child)
{
    if (--child->nholds != 0 || child->nhandles != 0 || child->is_owned || !child->state.is_gone)
        return;
    for (int i = 0; i < CHILD_OUTPUTS; i++)
        buf_deinit(&child->outputs[i].bytes);
    free(child);
}

static void tell(struct child_process *child, enum child_news news)
{
    if (child->is_owned)
        child->on_news(child->data, news);
}

static void on_pipe_closed(uv_handle_t *handle)
{
    struct child_process *child = handle->data;
    hold(child);
    child->nhandles--;
    unhold(child);
}

static void bury(struct child_process *child)
{
    timer_stop(child->loop, &child->timeout);
    timer_stop(child->loop, &child->kill);
    timer_stop(child->loop, &child->pipes);
    launch_signal(&child->launched,
                  SIGKILL); /* before it is reaped: the group's id is still its own */
    launch_reap(&child->launched, KILLED_MS);
    link_remove(&child->link);
    child->is_buried = true;
    child_close_input(child);
    tell(child, CHILD_IS_BURIED);
}

static bool has_open_output(const struct child_process *child)
{
    return child->outputs[CHILD_STDOUT].is_open || child->outputs[CHILD_STDERR].is_open;
}

static void pump(struct output *output);

/* After each event: the leader has ended, an output has, or the pipes' time is over. */
static void settle(struct child_process *child)
{
    if (!child->state.has_ended || child->state.is_gone)
        return;
    if (!child->is_buried && !has_open_output(child))
        bury(child);
    if (child->is_buried && !has_open_output(child)) {
        child->state.is_gone = true;
        tell(child, CHILD_IS_GONE);
    }
}

static void on_pipes_due(struct timer *timer)
{
    struct child_process *child = LIST_ENTRY(timer, struct child_process, pipes);
    hold(child);
    bury(child);
    pump(&child->outputs[CHILD_STDOUT]);
    pump(&child->outputs[CHILD_STDERR]);
    settle(child);
    unhold(child);
}

static uint64_t duration_us(const struct child_process *child)
{
    return (uv_hrtime() - child->started_ns) / 1000;
}

static void on_pidfd(void *data)
{
    struct child_process *child = data;
    if (!launch_has_ended(&child->launched, &child->state.end))
        return;
    hold(child);
    fd_watch_stop(child->watch);
    child->watch = NULL;
    child->state.has_ended = true;
    child->state.duration_us = duration_us(child);
    timer_stop(child->loop, &child->timeout);
    timer_stop(child->loop, &child->kill);
    timer_start(child->loop, &child->pipes, CHILD_PIPES_MS, on_pipes_due);
    tell(child, CHILD_HAS_ENDED);
    settle(child);
    unhold(child);
}

/* ---- outputs ---- */

static size_t waiting_bytes(const struct output *output)
{
    return output->bytes.len - output->taken;
}

static void end_output(struct output *output)
{
    output->is_open = false;
    uv_close((uv_handle_t *)&output->pipe, on_pipe_closed);
    tell(output->child, output == output->child->outputs ? CHILD_HAS_STDOUT : CHILD_HAS_STDERR);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    struct output *output = (struct output *)handle;
    struct buf *bytes = &output->bytes;
    (void)suggested;
    if (output->taken != 0 && bytes->cap - bytes->len < READ_BYTES) {
        buf_consume(bytes, output->taken);
        output->taken = 0;
    }
    if (buf_try_reserve(bytes, READ_BYTES) == 0)
        *room = uv_buf_init(bytes->ptr + bytes->len, READ_BYTES);
    else
        *room = uv_buf_init(NULL, 0);
}

/* Drops what nobody wants: everything, the beginning, or what is beyond the limit. */
static void trim(struct output *output)
{
    struct child_process *child = output->child;
    size_t count = waiting_bytes(output);
    if (!child->is_owned) {
        child_take(child, (enum child_stream)(output - child->outputs), count);
    } else if (child->max_capture != 0 && count > child->max_capture) {
        output->bytes.len = output->taken + child->max_capture;
        output->is_over = true;
        child_stop(child);
    } else if (output->is_tail && count > CHILD_BUFFER_BYTES) {
        output->taken += count - CHILD_BUFFER_BYTES;
    }
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *room)
{
    struct output *output = (struct output *)stream;
    struct child_process *child = output->child;
    (void)room;
    if (count == 0)
        return;
    hold(child);
    if (count > 0) {
        output->bytes.len += (size_t)count;
        trim(output);
        tell(child, output == child->outputs ? CHILD_HAS_STDOUT : CHILD_HAS_STDERR);
        pump(output);
    } else {
        output->is_over = output->is_over || count == UV_ENOBUFS;
        end_output(output);
    }
    settle(child);
    unhold(child);
}

/* What is in the pipe when its writers are dead will be read; whoever else has it open is not
 * waited for. */
static bool is_dry(const struct output *output)
{
    int fd, count = 0;
    return uv_fileno((const uv_handle_t *)&output->pipe, &fd) != 0 ||
           ioctl(fd, FIONREAD, &count) != 0 || count == 0;
}

/* Reads, or does not, by what is wanted. */
static void pump(struct output *output)
{
    struct child_process *child = output->child;
    bool takes_all = !child->is_owned || child->max_capture != 0 || output->is_tail;
    if (!output->is_open)
        return;
    if (!takes_all && waiting_bytes(output) >= output->want)
        uv_read_stop((uv_stream_t *)&output->pipe);
    else if (child->is_buried && (!child->is_owned || is_dry(output)))
        end_output(output);
    else
        uv_read_start((uv_stream_t *)&output->pipe, on_room, on_read); /* harmless when it does */
}

struct str child_output(const struct child_process *child, enum child_stream stream)
{
    const struct output *output = &child->outputs[stream];
    return (struct str){output->bytes.ptr + output->taken, waiting_bytes(output)};
}

void child_take(struct child_process *child, enum child_stream stream, size_t bytes)
{
    struct output *output = &child->outputs[stream];
    output->taken += bytes;
    if (output->taken < output->bytes.len)
        return;
    output->taken = output->bytes.len = 0;
    if (output->bytes.cap > KEPT_BYTES || !output->is_open)
        buf_deinit(&output->bytes);
}

bool child_output_has_ended(const struct child_process *child, enum child_stream stream)
{
    return !child->outputs[stream].is_open;
}

void child_want(struct child_process *child, enum child_stream stream, size_t bytes)
{
    struct output *output = &child->outputs[stream];
    output->is_tail = false;
    output->want = bytes > CHILD_BUFFER_BYTES ? bytes : CHILD_BUFFER_BYTES;
    hold(child);
    pump(output);
    settle(child);
    unhold(child);
}

void child_want_less(struct child_process *child, enum child_stream stream)
{
    child->outputs[stream].want = CHILD_BUFFER_BYTES;
}

/* ---- its input ---- */

static void on_write_end(uv_write_t *write, int status)
{
    struct child_process *child = write->data;
    if (!child->is_writing)
        return;
    child->is_writing = false;
    child->written = status == 0 ? 0 : -EPIPE;
    hold(child);
    tell(child, CHILD_HAS_WRITTEN);
    unhold(child);
}

int child_write(struct child_process *child, struct str bytes)
{
    ENSURE(!child->is_writing);
    if (!child->is_input_open)
        return -EPIPE;
    uv_stream_t *stream = (uv_stream_t *)&child->input;
    uv_buf_t rest = uv_buf_init((char *)bytes.ptr, 0);
    rest.len = bytes.len;
    int count = bytes.len != 0 ? uv_try_write(stream, &rest, 1) : 0;
    if (count < 0 && count != UV_EAGAIN)
        return -EPIPE;
    size_t done = count > 0 ? (size_t)count : 0;
    if (done == bytes.len)
        return 1;
    rest.base += done;
    rest.len -= done;
    child->write.data = child;
    child->is_writing = uv_write(&child->write, stream, &rest, 1, on_write_end) == 0;
    return child->is_writing ? 0 : -EPIPE;
}

int child_written(const struct child_process *child)
{
    return child->written;
}

void child_close_input(struct child_process *child)
{
    if (!child->is_input_open)
        return;
    child->is_input_open = false;
    uv_close((uv_handle_t *)&child->input, on_pipe_closed);
    if (!child->is_writing)
        return;
    child->is_writing = false;
    child->written = -EPIPE;
    tell(child, CHILD_HAS_WRITTEN);
}

/* ---- signals ---- */

void child_signal(struct child_process *child, int signal)
{
    if (!child->is_buried)
        launch_signal(&child->launched, signal);
}

static void on_kill_due(struct timer *timer)
{
    child_signal(LIST_ENTRY(timer, struct child_process, kill), SIGKILL);
}

void child_stop(struct child_process *child)
{
    if (child->is_stopping || child->state.has_ended)
        return;
    child->is_stopping = true;
    child_signal(child, SIGTERM);
    timer_start(child->loop, &child->kill, child->grace_ms, on_kill_due);
}

static void on_timeout(struct timer *timer)
{
    struct child_process *child = LIST_ENTRY(timer, struct child_process, timeout);
    child->state.has_timed_out = true;
    child_stop(child);
}

/* ---- start ---- */

/* Both ends of a pipe; ours in `ours`, the child's in `theirs`. */
static int open_pipe(bool is_input, int *ours, int *theirs)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    *ours = ends[is_input ? 1 : 0];
    *theirs = ends[is_input ? 0 : 1];
    return 0;
}

static void close_fds(const int *fds, const int *places)
{
    for (int i = 0; i < 3; i++)
        if (places[i] == CHILD_PIPE && fds[i] >= 0)
            close(fds[i]);
}

static void adopt_pipe(struct child_process *child, uv_pipe_t *pipe, int fd)
{
    ENSURE(uv_pipe_init(loop_uv(child->loop), pipe, 0) == 0);
    ENSURE(uv_pipe_open(pipe, fd) == 0);
    pipe->data = child;
    child->nhandles++;
}

static struct child_process *child_new(struct loop *loop, const struct child_options *options,
                                       const struct launched *launched, uint64_t started_ns,
                                       const int *ours)
{
    struct child_process *child = MEM_NEW(struct child_process);
    child->loop = loop;
    child->launched = *launched;
    child->grace_ms = options->grace_ms;
    child->max_capture = options->max_capture;
    child->on_news = options->on_news;
    child->data = options->data;
    child->is_owned = true;
    child->started_ns = started_ns;
    if ((child->is_input_open = ours[0] >= 0))
        adopt_pipe(child, &child->input, ours[0]);
    for (int i = 0; i < CHILD_OUTPUTS; i++) {
        struct output *output = &child->outputs[i];
        output->child = child;
        output->want = CHILD_BUFFER_BYTES;
        output->is_tail = i == CHILD_STDERR && options->max_capture == 0;
        if ((output->is_open = ours[i + 1] >= 0))
            adopt_pipe(child, &output->pipe, ours[i + 1]);
        pump(output);
    }
    child->watch = fd_watch_start(loop, launched->pidfd, on_pidfd, child);
    if (options->timeout_ms != 0)
        timer_start(loop, &child->timeout, options->timeout_ms, on_timeout);
    link_append(loop_children(loop), &child->link);
    return child;
}

struct child_process *child_start(struct loop *loop, const struct child_options *options,
                                  enum launch_stage *stage, int *error)
{
    int ours[3] = {-1, -1, -1}, theirs[3] = {-1, -1, -1};
    const int *places = options->places;
    struct launch asked = options->launch;
    struct launched launched = {.stage = LAUNCH_DESCRIPTORS};
    uint64_t started_ns = uv_hrtime();
    *error = 0;
    for (int i = 0; i < 3 && *error == 0; i++) {
        if (places[i] == CHILD_PIPE)
            *error = open_pipe(i == 0, &ours[i], &theirs[i]);
        else
            theirs[i] = places[i] == CHILD_OUTPUT_TOO ? theirs[1] : places[i];
    }
    asked.fds = theirs;
    asked.nfds = 3;
    if (*error == 0)
        *error = launch(&asked, &launched);
    close_fds(theirs, places);
    if (*error == 0)
        return child_new(loop, options, &launched, started_ns, ours);
    close_fds(ours, places);
    *stage = launched.stage;
    return NULL;
}

/* ---- what its owner asks ---- */

int child_pid(const struct child_process *child)
{
    return child->launched.pid;
}

struct child_state child_state(const struct child_process *child)
{
    struct child_state state = child->state;
    if (!state.has_ended)
        state.duration_us = duration_us(child);
    for (int i = 0; i < CHILD_OUTPUTS; i++)
        state.is_over[i] = child->outputs[i].is_over;
    return state;
}

void child_let_go(struct child_process *child)
{
    hold(child);
    child->is_owned = false; /* from here on it tells nobody, and drops what it reads */
    child_close_input(child);
    child_stop(child);
    for (int i = 0; i < CHILD_OUTPUTS; i++) {
        trim(&child->outputs[i]);
        pump(&child->outputs[i]);
    }
    settle(child);
    unhold(child);
}

/* ---- all of a loop ---- */

uint32_t children_count(struct loop *loop)
{
    uint32_t count = 0;
    struct link *head = loop_children(loop);
    for (struct link *at = head->next; at != head; at = at->next)
        count++;
    return count;
}

static void end_with_loop(struct child_process *child, uint64_t due_ns)
{
    uint64_t now_ns = uv_hrtime();
    struct pollfd ended = {.fd = child->launched.pidfd, .events = POLLIN};
    poll(&ended, 1, now_ns < due_ns ? (int)((due_ns - now_ns) / 1000000) : 0);
    hold(child);
    fd_watch_stop(child->watch);
    child->watch = NULL;
    child->state.has_ended = true;
    bury(child);
    for (int i = 0; i < CHILD_OUTPUTS; i++)
        if (child->outputs[i].is_open)
            end_output(&child->outputs[i]);
    settle(child);
    unhold(child);
}

void children_free(struct loop *loop)
{
    struct link *head = loop_children(loop);
    uint64_t due_ns = uv_hrtime() + (uint64_t)CHILD_LOOP_MS * 1000000;
    for (struct link *at = head->next; at != head; at = at->next) {
        struct child_process *child = LIST_ENTRY(at, struct child_process, link);
        child->is_owned = false;
        child_stop(child);
    }
    while (!link_is_alone(head))
        end_with_loop(LIST_ENTRY(head->next, struct child_process, link), due_ns);
}
