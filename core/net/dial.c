#include "net/dial.h"

#include "base/list.h"
#include "base/mem.h"
#include "loop/timer.h"
#include "net/address.h"
#include "net/resolve.h"
#include "net/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct dial {
    struct loop *loop;
    struct dial_target target;
    void (*on_done)(void *owner, const struct dial_result *result);
    void *owner;
    enum dial_stage stage;
    uint64_t stage_began_us;
    struct dial_result result;
    struct resolve *resolve;
    struct address addresses[RESOLVE_MAX_ADDRESSES];
    uint32_t naddresses;
    uint32_t next_address;
    struct stream *stream;
    bool was_resolved;
    struct timer soon; /* what could be told at once is told from the loop */
    char reason[320];
};

static void try_next(struct dial *dial);

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void enter(struct dial *dial, enum dial_stage stage)
{
    uint64_t now = now_us();
    dial->result.took_us[dial->stage] += now - dial->stage_began_us;
    dial->stage = stage;
    dial->stage_began_us = now;
}

static void finish(struct dial *dial)
{
    enter(dial, dial->stage);
    if (!dial->was_resolved)
        dial->result.took_us[DIAL_RESOLVING] = 0;
    dial->result.stream = dial->stream;
    dial->result.reason = dial->reason;
    dial->on_done(dial->owner, &dial->result);
    free(dial);
}

static void on_soon(struct timer *timer)
{
    finish(LIST_ENTRY(timer, struct dial, soon));
}

static void fail(struct dial *dial, enum dial_error error, const char *reason)
{
    dial->result.error = error;
    if (reason != dial->reason)
        snprintf(dial->reason, sizeof(dial->reason), "%s", reason);
}

/* ---- the stream, until it is handed over ---- */

static void on_closed(void *owner)
{
    (void)owner; /* given up already */
}

static const struct stream_events given_up_events = {.on_close = on_closed};

static void give_up_stream(struct dial *dial)
{
    if (dial->stream == NULL)
        return;
    stream_set_owner(dial->stream, &given_up_events, NULL);
    stream_close(dial->stream);
    dial->stream = NULL;
}

static void on_ready(struct dial *dial)
{
    finish(dial);
}

static void start_tls(struct dial *dial)
{
    enter(dial, DIAL_SHAKING_HANDS);
    stream_start_tls(dial->stream, dial->target.tls, dial->target.host, dial->target.port);
}

static void on_connect(void *owner, int status)
{
    struct dial *dial = owner;
    if (dial->stage == DIAL_SHAKING_HANDS) {
        if (status != 0) {
            fail(dial, DIAL_BAD_TLS, stream_tls_reason(dial->stream));
            dial->result.had_ticket = stream_tls_had_ticket(dial->stream);
            give_up_stream(dial);
        }
        finish(dial);
    } else if (status != 0) {
        fail(dial, DIAL_REFUSED, strerror(-status));
        give_up_stream(dial);
        try_next(dial);
    } else if (dial->target.tls != NULL) {
        start_tls(dial);
    } else {
        on_ready(dial);
    }
}

static void on_read(void *owner, char *bytes, ssize_t nread)
{
    (void)owner; /* reading starts with the next owner */
    (void)bytes;
    (void)nread;
}

static const struct stream_events stream_events = {
    .on_connect = on_connect,
    .on_read = on_read,
    .on_close = on_closed,
};

/* ---- addresses ---- */

/* Leaves the last failure in place when none is left. */
static void try_next(struct dial *dial)
{
    while (dial->next_address < dial->naddresses) {
        struct address *address = &dial->addresses[dial->next_address++];
        dial->stream = stream_connect(dial->loop, &address->as.base, &stream_events, dial);
        if (dial->stream != NULL) {
            dial->result.error = DIAL_OK;
            return;
        }
        fail(dial, DIAL_REFUSED, strerror(errno));
    }
    timer_start(dial->loop, &dial->soon, 0, on_soon);
}

static void on_resolved(void *owner, const struct address *addresses, uint32_t count,
                        const char *reason)
{
    struct dial *dial = owner;
    dial->resolve = NULL;
    if (count == 0) {
        fail(dial, DIAL_BAD_NAME, reason);
        finish(dial);
        return;
    }
    memcpy(dial->addresses, addresses, count * sizeof(*addresses));
    dial->naddresses = count;
    enter(dial, DIAL_CONNECTING);
    try_next(dial);
}

static void resolve(struct dial *dial)
{
    const struct dial_target *target = &dial->target;
    dial->naddresses = 1;
    if (target->unix_path != NULL) {
        if (address_unix(&dial->addresses[0], str_of(target->unix_path))) {
            enter(dial, DIAL_CONNECTING);
            try_next(dial);
            return;
        }
        fail(dial, DIAL_REFUSED, "the path of the socket is too long");
    } else if (address_literal(&dial->addresses[0], target->host, target->port)) {
        enter(dial, DIAL_CONNECTING);
        try_next(dial);
        return;
    } else {
        dial->resolve = resolve_start(dial->loop, target->host, target->port, on_resolved, dial);
        dial->was_resolved = true;
        if (dial->resolve != NULL)
            return;
        fail(dial, DIAL_BAD_NAME, "the resolver could not be started");
    }
    timer_start(dial->loop, &dial->soon, 0, on_soon);
}

static void open_socket(struct dial *dial)
{
    int fd = dial->target.open_socket(dial->target.open_data);
    enter(dial, DIAL_CONNECTING);
    if (fd >= 0)
        dial->stream = stream_open(dial->loop, fd, &stream_events, dial);
    if (dial->stream == NULL)
        fail(dial, DIAL_REFUSED, strerror(fd < 0 ? -fd : EIO));
    timer_start(dial->loop, &dial->soon, 0, on_soon);
}

struct dial *dial_start(struct loop *loop, const struct dial_target *target,
                        void (*on_done)(void *owner, const struct dial_result *result), void *owner)
{
    struct dial *dial = MEM_NEW(struct dial);
    dial->loop = loop;
    dial->target = *target;
    dial->on_done = on_done;
    dial->owner = owner;
    dial->stage_began_us = now_us();
    if (target->open_socket != NULL)
        open_socket(dial);
    else
        resolve(dial);
    return dial;
}

void dial_cancel(struct dial *dial)
{
    if (dial == NULL)
        return;
    resolve_cancel(dial->resolve);
    timer_stop(dial->loop, &dial->soon);
    give_up_stream(dial);
    free(dial);
}

enum dial_stage dial_stage(const struct dial *dial)
{
    return dial->stage;
}
