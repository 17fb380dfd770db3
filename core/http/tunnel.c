#include "http/tunnel.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop/deadline.h"
#include "net/stream.h"

#include <errno.h>
#include <stdlib.h>

struct tunnel {
    struct stream *stream; /* NULL: gone */
    const struct tunnel_host *host;
    void *host_data;
    void (*on_change)(void *owner); /* NULL: nobody listens */
    void *owner;
    struct buf ahead;
    struct deadline_queue *send_deadlines;
    struct deadline_queue *linger_deadlines;
    struct deadline deadline;
    size_t unsent_bytes; /* when the deadline was last started */
    uint64_t sent_bytes;
    enum tunnel_state state;
    bool is_ended; /* our side */
    bool is_released;
    bool is_held;     /* by the host */
    bool is_finished; /* to be closed when it is held no more */
    bool is_lost;     /* a write failed; the end comes as an event */
};

static void tell(struct tunnel *tunnel)
{
    if (tunnel->on_change != NULL)
        tunnel->on_change(tunnel->owner);
}

static void close_stream(struct tunnel *tunnel, bool is_orderly)
{
    deadline_stop(&tunnel->deadline);
    if (tunnel->stream == NULL)
        return;
    if (is_orderly)
        stream_close(tunnel->stream);
    else
        stream_reset(tunnel->stream);
}

/* Released, and nothing is left to be done. */
static void finish(struct tunnel *tunnel, bool is_orderly)
{
    if (!tunnel->is_held) {
        close_stream(tunnel, is_orderly);
        return;
    }
    tunnel->is_finished = true;
    deadline_stop(&tunnel->deadline);
    stream_read_stop(tunnel->stream);
}

/* No goodbye: the connection is closed; the host and the owner hear of it, in this order. */
static void lose(struct tunnel *tunnel)
{
    if (tunnel->state == TUNNEL_LOST)
        return;
    tunnel->state = TUNNEL_LOST;
    close_stream(tunnel, false);
    if (tunnel->host->on_lost != NULL)
        tunnel->host->on_lost(tunnel->host_data);
    tell(tunnel);
}

/* ---- deadlines ---- */

static void on_deadline(struct deadline *deadline);

static void start_deadline(struct tunnel *tunnel, struct deadline_queue *queue)
{
    tunnel->unsent_bytes = stream_unsent_bytes(tunnel->stream);
    if (queue != NULL)
        deadline_start(queue, &tunnel->deadline, on_deadline);
}

static void on_deadline(struct deadline *deadline)
{
    struct tunnel *tunnel = LIST_ENTRY(deadline, struct tunnel, deadline);
    if (stream_unsent_bytes(tunnel->stream) < tunnel->unsent_bytes) /* slow, but moving */
        start_deadline(tunnel,
                       tunnel->is_released ? tunnel->linger_deadlines : tunnel->send_deadlines);
    else if (tunnel->is_released)
        finish(tunnel, stream_queued_bytes(tunnel->stream) == 0);
    else
        lose(tunnel);
}

/* ---- events of the stream ---- */

static void on_read(void *data, char *bytes, ssize_t nread)
{
    struct tunnel *tunnel = data;
    if (nread < 0 && nread != STREAM_EOF) {
        if (tunnel->is_released)
            finish(tunnel, false);
        else
            lose(tunnel);
        return;
    }
    if (nread < 0) {
        tunnel->state = TUNNEL_ENDED;
        if (tunnel->is_released && stream_queued_bytes(tunnel->stream) == 0)
            finish(tunnel, true);
        tell(tunnel);
        return;
    }
    if (tunnel->is_released)
        return;
    tunnel_feed(tunnel, (struct str){bytes, (size_t)nread});
}

static void on_drain(void *data)
{
    struct tunnel *tunnel = data;
    if (!tunnel->is_released) {
        deadline_stop(&tunnel->deadline);
        tell(tunnel);
    } else if (tunnel->state == TUNNEL_ENDED) {
        finish(tunnel, true);
    } else {
        start_deadline(tunnel, tunnel->linger_deadlines);
    }
}

static void free_if_unused(struct tunnel *tunnel)
{
    if (tunnel->stream != NULL || !tunnel->is_released)
        return;
    buf_deinit(&tunnel->ahead);
    free(tunnel);
}

static void on_closed(void *data)
{
    struct tunnel *tunnel = data;
    ENSURE(!deadline_is_running(&tunnel->deadline));
    tunnel->stream = NULL;
    tunnel->host->on_closed(tunnel->host_data);
    free_if_unused(tunnel);
}

static const struct stream_events stream_events = {
    .on_read = on_read,
    .on_drain = on_drain,
    .on_close = on_closed,
};

/* ---- life ---- */

struct tunnel *tunnel_open(struct loop *loop, struct stream *stream,
                           struct deadline_queue *send_deadlines, const struct tunnel_host *host,
                           void *host_data)
{
    struct tunnel *tunnel = MEM_NEW(struct tunnel);
    tunnel->stream = stream;
    tunnel->host = host;
    tunnel->host_data = host_data;
    tunnel->send_deadlines = send_deadlines;
    tunnel->linger_deadlines = deadline_queue(loop, TUNNEL_LINGER_MS);
    deadline_init(&tunnel->deadline);
    stream_set_owner(stream, &stream_events, tunnel);
    if (stream_queued_bytes(stream) != 0)
        start_deadline(tunnel, send_deadlines);
    stream_read_start(stream);
    return tunnel;
}

void tunnel_hold(struct tunnel *tunnel, bool is_held)
{
    tunnel->is_held = is_held;
    if (!is_held && tunnel->is_finished)
        close_stream(tunnel, true);
}

void tunnel_feed(struct tunnel *tunnel, struct str bytes)
{
    if (tunnel->is_released || bytes.len == 0)
        return;
    buf_add_str(&tunnel->ahead, bytes);
    if (tunnel->ahead.len > TUNNEL_AHEAD_MAX)
        stream_read_stop(tunnel->stream);
    tell(tunnel);
}

void tunnel_own(struct tunnel *tunnel, void (*on_change)(void *owner), void *owner)
{
    tunnel->on_change = on_change;
    tunnel->owner = owner;
}

void tunnel_cut(struct tunnel *tunnel)
{
    close_stream(tunnel, tunnel->is_released);
    if (tunnel->is_released || tunnel->state == TUNNEL_LOST)
        return;
    tunnel->state = TUNNEL_LOST;
    tell(tunnel);
}

/* The peer reads the last bytes before the end; closing over bytes that nobody has read would make
 * the kernel throw them away. */
void tunnel_release(struct tunnel *tunnel)
{
    if (tunnel == NULL || tunnel->is_released)
        return;
    tunnel_own(tunnel, NULL, NULL);
    tunnel->is_released = true;
    buf_deinit(&tunnel->ahead);
    if (tunnel->stream == NULL) {
        free_if_unused(tunnel);
        return;
    }
    if (tunnel->state == TUNNEL_LOST)
        return; /* closing already */
    tunnel_end(tunnel);
    if (tunnel->state == TUNNEL_ENDED && stream_queued_bytes(tunnel->stream) == 0) {
        finish(tunnel, true);
        return;
    }
    if (tunnel->state != TUNNEL_ENDED)
        stream_read_start(tunnel->stream);
    start_deadline(tunnel, tunnel->linger_deadlines);
}

/* ---- bytes ---- */

enum tunnel_state tunnel_state(const struct tunnel *tunnel)
{
    return tunnel->state;
}

struct str tunnel_bytes(const struct tunnel *tunnel)
{
    return buf_str(&tunnel->ahead);
}

void tunnel_take(struct tunnel *tunnel, size_t count)
{
    buf_consume(&tunnel->ahead, count);
    if (tunnel->state == TUNNEL_OPEN && tunnel->stream != NULL &&
        tunnel->ahead.len <= TUNNEL_AHEAD_MAX)
        stream_read_start(tunnel->stream);
}

int tunnel_write(struct tunnel *tunnel, struct str bytes)
{
    if (tunnel->state == TUNNEL_LOST || tunnel->is_lost || tunnel->is_ended)
        return -EPIPE;
    if (bytes.len == 0)
        return 0;
    tunnel->is_lost = stream_write(tunnel->stream, &bytes, 1) != 0;
    if (tunnel->is_lost) {
        stream_read_start(tunnel->stream); /* where the end is heard of */
        return -EPIPE;
    }
    tunnel->sent_bytes += bytes.len;
    if (stream_queued_bytes(tunnel->stream) != 0 && !deadline_is_running(&tunnel->deadline))
        start_deadline(tunnel, tunnel->send_deadlines);
    return 0;
}

bool tunnel_must_wait(const struct tunnel *tunnel)
{
    return tunnel->state != TUNNEL_LOST && !tunnel->is_lost &&
           stream_queued_bytes(tunnel->stream) > TUNNEL_QUEUED_MAX;
}

void tunnel_end(struct tunnel *tunnel)
{
    if (tunnel->is_ended || tunnel->state == TUNNEL_LOST)
        return;
    tunnel->is_ended = true;
    stream_shutdown(tunnel->stream);
}

uint64_t tunnel_sent_bytes(const struct tunnel *tunnel)
{
    return tunnel->sent_bytes;
}
