/*
 * The pipes of a child: outputs that are read ahead, kept, or dropped, and the input with one write
 * at a time.
 */
#include "base/mem.h"
#include "loop/child_parts.h"

#include <errno.h>
#include <sys/ioctl.h>

enum { READ_BYTES = 64 * 1024, KEPT_BYTES = 256 * 1024 };

/* ---- outputs ---- */

static size_t waiting_bytes(const struct output *output)
{
    return output->bytes.len - output->taken;
}

void output_end(struct output *output)
{
    output->is_open = false;
    uv_close((uv_handle_t *)&output->pipe, child_on_pipe_closed);
    child_announce(output->child,
                   output == output->child->outputs ? CHILD_HAS_STDOUT : CHILD_HAS_STDERR);
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
void output_trim(struct output *output)
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
    child_hold(child);
    if (count > 0) {
        output->bytes.len += (size_t)count;
        output_trim(output);
        child_announce(child, output == child->outputs ? CHILD_HAS_STDOUT : CHILD_HAS_STDERR);
        output_pump(output);
    } else {
        output->is_over = output->is_over || count == UV_ENOBUFS;
        output_end(output);
    }
    child_settle(child);
    child_unhold(child);
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
void output_pump(struct output *output)
{
    struct child_process *child = output->child;
    bool takes_all = !child->is_owned || child->max_capture != 0 || output->is_tail;
    if (!output->is_open)
        return;
    if (!takes_all && waiting_bytes(output) >= output->want)
        uv_read_stop((uv_stream_t *)&output->pipe);
    else if (child->is_buried && (!child->is_owned || is_dry(output)))
        output_end(output);
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
    child_hold(child);
    output_pump(output);
    child_settle(child);
    child_unhold(child);
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
    child_hold(child);
    child_announce(child, CHILD_HAS_WRITTEN);
    child_unhold(child);
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
    uv_close((uv_handle_t *)&child->input, child_on_pipe_closed);
    if (!child->is_writing)
        return;
    child->is_writing = false;
    child->written = -EPIPE;
    child_announce(child, CHILD_HAS_WRITTEN);
}
