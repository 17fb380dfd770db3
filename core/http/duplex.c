#include "http/duplex.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop/deadline.h"
#include "net/stream.h"

#include <errno.h>
#include <stdlib.h>

struct duplex {
    struct stream *stream; /* NULL: gone */
    const struct duplex_host *host;
    void *host_data;
    void (*on_change)(void *owner); /* NULL: nobody listens */
    void *owner;
    struct str lent; /* what is being read; what the owner does not take goes into `ahead` */
    struct buf ahead;
    struct deadline_queue *send_deadlines;
    struct deadline_queue *linger_deadlines;
    struct deadline deadline;
    size_t unsent_bytes; /* when the deadline was last started */
    uint64_t sent_bytes;
    uint8_t state; /* enum duplex_state */
    bool is_ended; /* our side */
    bool is_released;
    bool is_held;     /* by the host */
    bool is_finished; /* to be closed when it is held no more */
    bool is_lost;     /* a write failed; the end comes as an event */
};

static void tell(struct duplex *duplex)
{
    if (duplex->on_change != NULL)
        duplex->on_change(duplex->owner);
}

static void close_stream(struct duplex *duplex, bool is_orderly)
{
    deadline_stop(&duplex->deadline);
    if (duplex->stream == NULL)
        return;
    if (is_orderly)
        stream_close(duplex->stream);
    else
        stream_reset(duplex->stream);
}

/* Released, and nothing is left to be done. */
static void finish(struct duplex *duplex, bool is_orderly)
{
    if (!duplex->is_held) {
        close_stream(duplex, is_orderly);
        return;
    }
    duplex->is_finished = true;
    deadline_stop(&duplex->deadline);
    stream_read_stop(duplex->stream);
}

/* No goodbye: the connection is closed; the host and the owner hear of it, in this order. */
static void lose(struct duplex *duplex)
{
    if (duplex->state == DUPLEX_LOST)
        return;
    duplex->state = DUPLEX_LOST;
    close_stream(duplex, false);
    if (duplex->host->on_lost != NULL)
        duplex->host->on_lost(duplex->host_data);
    tell(duplex);
}

/* ---- deadlines ---- */

static void on_deadline(struct deadline *deadline);

static void start_deadline(struct duplex *duplex, struct deadline_queue *queue)
{
    duplex->unsent_bytes = stream_unsent_bytes(duplex->stream);
    if (queue != NULL)
        deadline_start(queue, &duplex->deadline, on_deadline);
}

static void on_deadline(struct deadline *deadline)
{
    struct duplex *duplex = LIST_ENTRY(deadline, struct duplex, deadline);
    if (stream_unsent_bytes(duplex->stream) < duplex->unsent_bytes) /* slow, but moving */
        start_deadline(duplex,
                       duplex->is_released ? duplex->linger_deadlines : duplex->send_deadlines);
    else if (duplex->is_released)
        finish(duplex, stream_queued_bytes(duplex->stream) == 0);
    else
        lose(duplex);
}

/* ---- events of the stream ---- */

static void on_read(void *data, char *bytes, ssize_t nread)
{
    struct duplex *duplex = data;
    if (nread < 0 && nread != STREAM_EOF) {
        if (duplex->is_released)
            finish(duplex, false);
        else
            lose(duplex);
        return;
    }
    if (nread < 0) {
        duplex->state = DUPLEX_ENDED;
        if (duplex->is_released && stream_queued_bytes(duplex->stream) == 0)
            finish(duplex, true);
        tell(duplex);
        return;
    }
    if (duplex->is_released)
        return;
    duplex_feed(duplex, (struct str){bytes, (size_t)nread});
}

static void on_drain(void *data)
{
    struct duplex *duplex = data;
    if (!duplex->is_released) {
        deadline_stop(&duplex->deadline);
        tell(duplex);
    } else if (duplex->state == DUPLEX_ENDED) {
        finish(duplex, true);
    } else {
        start_deadline(duplex, duplex->linger_deadlines);
    }
}

static void free_if_unused(struct duplex *duplex)
{
    if (duplex->stream != NULL || !duplex->is_released)
        return;
    buf_deinit(&duplex->ahead);
    free(duplex);
}

static void on_closed(void *data)
{
    struct duplex *duplex = data;
    ENSURE(!deadline_is_running(&duplex->deadline));
    duplex->stream = NULL;
    duplex->host->on_closed(duplex->host_data);
    free_if_unused(duplex);
}

static const struct stream_events stream_events = {
    .on_read = on_read,
    .on_drain = on_drain,
    .on_close = on_closed,
};

/* ---- life ---- */

struct duplex *duplex_open(struct loop *loop, struct stream *stream,
                           struct deadline_queue *send_deadlines, const struct duplex_host *host,
                           void *host_data)
{
    struct duplex *duplex = MEM_NEW(struct duplex);
    duplex->stream = stream;
    duplex->host = host;
    duplex->host_data = host_data;
    duplex->send_deadlines = send_deadlines;
    duplex->linger_deadlines = deadline_queue(loop, DUPLEX_LINGER_MS);
    deadline_init(&duplex->deadline);
    stream_set_owner(stream, &stream_events, duplex);
    if (stream_queued_bytes(stream) != 0)
        start_deadline(duplex, send_deadlines);
    stream_read_start(stream);
    return duplex;
}

void duplex_hold(struct duplex *duplex, bool is_held)
{
    duplex->is_held = is_held;
    if (!is_held && duplex->is_finished)
        close_stream(duplex, true);
}

static void keep_ahead(struct duplex *duplex, struct str bytes)
{
    buf_add_str(&duplex->ahead, bytes);
    if (duplex->ahead.len > DUPLEX_AHEAD_MAX)
        stream_read_stop(duplex->stream);
}

void duplex_feed(struct duplex *duplex, struct str bytes)
{
    if (duplex->is_released || bytes.len == 0)
        return;
    if (duplex->ahead.len == 0 && duplex->on_change != NULL) {
        duplex->lent = bytes;
        tell(duplex);
        bytes = duplex->lent;
        duplex->lent = (struct str){0};
        if (duplex->is_released || bytes.len == 0)
            return;
        keep_ahead(duplex, bytes);
        return;
    }
    keep_ahead(duplex, bytes);
    tell(duplex);
}

void duplex_own(struct duplex *duplex, void (*on_change)(void *owner), void *owner)
{
    duplex->on_change = on_change;
    duplex->owner = owner;
}

void duplex_give_up(struct duplex *duplex)
{
    if (!duplex->is_released && duplex->stream != NULL)
        lose(duplex);
}

void duplex_cut(struct duplex *duplex)
{
    close_stream(duplex, duplex->is_released);
    if (duplex->is_released || duplex->state == DUPLEX_LOST)
        return;
    duplex->state = DUPLEX_LOST;
    tell(duplex);
}

/* The peer reads the last bytes before the end; closing over bytes that nobody has read would make
 * the kernel throw them away. */
void duplex_release(struct duplex *duplex)
{
    if (duplex == NULL || duplex->is_released)
        return;
    duplex_own(duplex, NULL, NULL);
    duplex->is_released = true;
    buf_deinit(&duplex->ahead);
    if (duplex->stream == NULL) {
        free_if_unused(duplex);
        return;
    }
    if (duplex->state == DUPLEX_LOST)
        return; /* closing already */
    duplex_end(duplex);
    if (duplex->state == DUPLEX_ENDED && stream_queued_bytes(duplex->stream) == 0) {
        finish(duplex, true);
        return;
    }
    if (duplex->state != DUPLEX_ENDED)
        stream_read_start(duplex->stream);
    start_deadline(duplex, duplex->linger_deadlines);
}

/* ---- bytes ---- */

enum duplex_state duplex_state(const struct duplex *duplex)
{
    return duplex->state;
}

struct str duplex_bytes(const struct duplex *duplex)
{
    return duplex->lent.len != 0 ? duplex->lent : buf_str(&duplex->ahead);
}

void duplex_take(struct duplex *duplex, size_t count)
{
    if (duplex->lent.len != 0) {
        duplex->lent = (struct str){duplex->lent.ptr + count, duplex->lent.len - count};
        return;
    }
    buf_consume(&duplex->ahead, count);
    if (duplex->ahead.len == 0)
        buf_deinit(&duplex->ahead); /* many are idle for long */
    if (duplex->state == DUPLEX_OPEN && duplex->stream != NULL &&
        duplex->ahead.len <= DUPLEX_AHEAD_MAX)
        stream_read_start(duplex->stream);
}

int duplex_write_pieces(struct duplex *duplex, const struct str *pieces, uint32_t npieces)
{
    size_t len = 0;
    for (uint32_t i = 0; i < npieces; i++)
        len += pieces[i].len;
    if (duplex->state == DUPLEX_LOST || duplex->is_lost || duplex->is_ended)
        return -EPIPE;
    if (len == 0)
        return 0;
    duplex->is_lost = stream_write(duplex->stream, pieces, npieces) != 0;
    if (duplex->is_lost) {
        stream_read_start(duplex->stream); /* where the end is heard of */
        return -EPIPE;
    }
    duplex->sent_bytes += len;
    if (stream_queued_bytes(duplex->stream) != 0 && !deadline_is_running(&duplex->deadline))
        start_deadline(duplex, duplex->send_deadlines);
    return 0;
}

int duplex_write(struct duplex *duplex, struct str bytes)
{
    return duplex_write_pieces(duplex, &bytes, 1);
}

bool duplex_must_wait(const struct duplex *duplex)
{
    return duplex->state != DUPLEX_LOST && !duplex->is_lost &&
           stream_queued_bytes(duplex->stream) > DUPLEX_QUEUED_MAX;
}

void duplex_end(struct duplex *duplex)
{
    if (duplex->is_ended || duplex->state == DUPLEX_LOST)
        return;
    duplex->is_ended = true;
    stream_shutdown(duplex->stream);
}

uint64_t duplex_sent_bytes(const struct duplex *duplex)
{
    return duplex->sent_bytes;
}
