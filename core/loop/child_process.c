/*
 * Three pipes, a descriptor of its end and three timers with one way out: the leader ends, it is
 * buried, the outputs end, the pipes' close callbacks come, the memory goes. One that has not begun
 * has nothing to end: it is buried at once.
 */
#include "loop/child_process.h"

#include "base/mem.h"
#include "loop/child_parts.h"
#include "loop/loop.h"
#include "loop/loop_parts.h"
#include "loop/uv_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

enum { KILLED_MS = 1000 };

/* ---- life ---- */

void child_hold(struct child_process *child)
{
    child->nholds++;
}

void child_unhold(struct child_process *child)
{
    if (--child->nholds != 0 || child->nhandles != 0 || child->is_owned || !child->state.is_gone)
        return;
    for (int i = 0; i < CHILD_OUTPUTS; i++)
        buf_deinit(&child->outputs[i].bytes);
    free(child);
}

void child_announce(struct child_process *child, enum child_news news)
{
    if (child->is_owned)
        child->on_news(child->data, news);
}

void child_on_pipe_closed(uv_handle_t *handle)
{
    struct child_process *child = handle->data;
    child_hold(child);
    child->nhandles--;
    child_unhold(child);
}

static void bury(struct child_process *child)
{
    timer_stop(child->loop, &child->timeout);
    timer_stop(child->loop, &child->kill);
    timer_stop(child->loop, &child->pipes);
    /* Before it is reaped: so long the group's id is nobody else's. */
    launch_signal(&child->launched, SIGKILL);
    launch_reap(&child->launched, KILLED_MS);
    link_remove(&child->link);
    child->is_buried = true;
    child_close_input(child);
    child_announce(child, CHILD_IS_BURIED);
}

static bool has_open_output(const struct child_process *child)
{
    return child->outputs[CHILD_STDOUT].is_open || child->outputs[CHILD_STDERR].is_open;
}

/* After each event: the leader has ended, an output has, or the pipes' time is over. */
void child_settle(struct child_process *child)
{
    if (!child->state.has_ended || child->state.is_gone)
        return;
    if (!child->is_buried && !has_open_output(child))
        bury(child);
    if (child->is_buried && !has_open_output(child) && !child->state.is_gone) {
        child->state.is_gone = true;
        child_announce(child, CHILD_IS_GONE);
    }
}

static void on_pipes_due(struct timer *timer)
{
    struct child_process *child = LIST_ENTRY(timer, struct child_process, pipes);
    child_hold(child);
    bury(child);
    output_pump(&child->outputs[CHILD_STDOUT]);
    output_pump(&child->outputs[CHILD_STDERR]);
    child_settle(child);
    child_unhold(child);
}

static uint64_t duration_us(const struct child_process *child)
{
    return (uv_hrtime() - child->started_ns) / 1000;
}

static void on_ended(struct child_process *child)
{
    if (!launch_has_ended(&child->launched, &child->state.end))
        return;
    child_hold(child);
    fd_watch_stop(child->watch);
    child->watch = NULL;
    child->state.has_ended = true;
    child->state.duration_us = duration_us(child);
    timer_stop(child->loop, &child->timeout);
    timer_stop(child->loop, &child->kill);
    timer_start(child->loop, &child->pipes, CHILD_PIPES_MS, on_pipes_due);
    child_announce(child, CHILD_HAS_ENDED);
    child_settle(child);
    child_unhold(child);
}

/* ---- signals ---- */

void child_signal(struct child_process *child, int signal)
{
    if (!child->is_buried && child->start_status == 0)
        launch_signal(&child->launched, signal);
}

static void on_kill_due(struct timer *timer)
{
    child_signal(LIST_ENTRY(timer, struct child_process, kill), SIGKILL);
}

void child_stop(struct child_process *child)
{
    if (child->is_stopping || child->state.has_ended || child->start_status != 0)
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

/* Nothing has begun, or nobody wants it any more: the helper ends what finds nobody here. */
static void forget_start(struct child_process *child)
{
    fd_watch_stop(child->watch);
    child->watch = NULL;
    if (child->launched.end_fd >= 0)
        close(child->launched.end_fd);
    child->launched.end_fd = -1;
    child->state.has_ended = child->is_buried = child->state.is_gone = true;
    link_remove(&child->link);
    child_close_input(child);
    for (int i = 0; i < CHILD_OUTPUTS; i++)
        if (child->outputs[i].is_open)
            output_end(&child->outputs[i]);
}

static void on_outcome(struct child_process *child)
{
    int status = launch_outcome(&child->launched);
    if (status == 1)
        return;
    child_hold(child);
    child->start_status = status;
    if (status < 0)
        forget_start(child);
    else if (child->timeout_ms != 0)
        timer_start(child->loop, &child->timeout, child->timeout_ms, on_timeout);
    if (child->outputs[CHILD_STDOUT].is_over || child->outputs[CHILD_STDERR].is_over)
        child_stop(child); /* what it wrote came before the news that it had begun */
    child_announce(child, CHILD_HAS_STARTED);
    child_unhold(child);
}

static void on_end_fd(void *data)
{
    struct child_process *child = data;
    if (child->start_status == 1)
        on_outcome(child);
    else
        on_ended(child);
}

int child_start_status(const struct child_process *child, enum launch_stage *stage)
{
    *stage = child->launched.stage;
    return child->start_status;
}

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
        output_pump(output);
    }
    child->watch = fd_watch_start(loop, launched->end_fd, on_end_fd, child);
    child->timeout_ms = options->timeout_ms;
    child->start_status = launched->pid == 0;
    if (child->start_status == 0 && child->timeout_ms != 0)
        timer_start(loop, &child->timeout, child->timeout_ms, on_timeout);
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
        *error = launch_begin(&asked, &launched);
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
    child_hold(child);
    child->is_owned = false; /* from here on it tells nobody, and drops what it reads */
    if (child->start_status == 1)
        forget_start(child);
    child_close_input(child);
    child_stop(child);
    for (int i = 0; i < CHILD_OUTPUTS; i++) {
        output_trim(&child->outputs[i]);
        output_pump(&child->outputs[i]);
    }
    child_settle(child);
    child_unhold(child);
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
    struct pollfd ended = {.fd = child->launched.end_fd, .events = POLLIN};
    poll(&ended, 1, now_ns < due_ns ? (int)((due_ns - now_ns) / 1000000) : 0);
    fd_watch_stop(child->watch);
    child->watch = NULL;
    child->state.has_ended = true;
    bury(child);
    for (int i = 0; i < CHILD_OUTPUTS; i++)
        if (child->outputs[i].is_open)
            output_end(&child->outputs[i]);
    child_settle(child);
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
    for (struct link *first; (first = link_take_first(head)) != NULL;) {
        struct child_process *child = LIST_ENTRY(first, struct child_process, link);
        child_hold(child);
        if (child->start_status == 1)
            forget_start(child);
        else
            end_with_loop(child, due_ns);
        child_unhold(child);
    }
}
