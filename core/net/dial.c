#include "net/dial.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop/timer.h"
#include "net/address.h"
#include "net/address_order.h"
#include "net/resolve.h"
#include "net/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REASON_BYTES = 480 };

/* One socket that is being connected, to the address of the same number. */
struct attempt {
    struct dial *dial;
    struct stream *stream; /* NULL: given up */
};

struct dial {
    struct loop *loop;
    struct dial_target target;
    void (*on_done)(void *owner, const struct dial_result *result);
    void *owner;
    enum dial_stage stage;
    uint64_t stage_began_us;
    struct dial_result result;
    struct resolve *resolve;
    bool was_resolved;
    bool is_resolved; /* no more addresses come */
    struct address addresses[RESOLVE_MAX_ADDRESSES];
    struct attempt attempts[RESOLVE_MAX_ADDRESSES];
    uint32_t naddresses;
    uint32_t ntried; /* of them, the first ones */
    uint32_t nconnecting;
    struct stream *stream; /* of the one that won */
    struct timer next;     /* the next address, or the wait for IPv6 */
    struct timer soon;     /* what could be told at once is told from the loop */
    char reason[REASON_BYTES];
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
    uint64_t *resolving_us = &dial->result.took_us[DIAL_RESOLVING];
    if (!dial->was_resolved)
        *resolving_us = 0;
    else if (*resolving_us == 0)
        *resolving_us = 1; /* known already; 0 says that there was no name */
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
    snprintf(dial->reason, sizeof(dial->reason), "%s", reason);
}

/* Why an address did not do. Where there are several each is named; the first ones, if there is not
 * room for all. */
static void fail_address(struct dial *dial, const struct address *address, int status)
{
    char shown[ADDRESS_TEXT_BYTES];
    size_t len = strlen(dial->reason);
    dial->result.error = status == -ECONNRESET || status == -EPIPE ? DIAL_CLOSED : DIAL_REFUSED;
    if (!dial->was_resolved) {
        fail(dial, dial->result.error, strerror(-status));
        return;
    }
    address_text(address, shown);
    snprintf(dial->reason + len, sizeof(dial->reason) - len, "%s%s: %s", len != 0 ? "; " : "",
             shown, strerror(-status));
}

/* ---- the stream, until it is handed over ---- */

static void on_closed(void *owner)
{
    (void)owner; /* given up already */
}

static const struct stream_events given_up_events = {.on_close = on_closed};

static void give_up(struct stream **stream)
{
    if (*stream == NULL)
        return;
    stream_set_owner(*stream, &given_up_events, NULL);
    stream_close(*stream);
    *stream = NULL;
}

/* Sockets, timers and the name: all but the stream that won. */
static void stop_racing(struct dial *dial)
{
    resolve_cancel(dial->resolve);
    dial->resolve = NULL;
    timer_stop(dial->loop, &dial->next);
    for (uint32_t i = 0; i < dial->ntried; i++)
        give_up(&dial->attempts[i].stream);
    dial->nconnecting = 0;
}

static void on_handshake(struct dial *dial, int status)
{
    if (status != 0) {
        fail(dial, DIAL_BAD_TLS, stream_tls_reason(dial->stream));
        dial->result.had_ticket = stream_tls_had_ticket(dial->stream);
        give_up(&dial->stream);
    }
    finish(dial);
}

static void on_won(struct dial *dial, struct attempt *attempt)
{
    uint32_t at = (uint32_t)(attempt - dial->attempts);
    dial->stream = attempt->stream;
    attempt->stream = NULL;
    if (dial->was_resolved && at != 0)
        resolve_prefer(dial->target.resolver, dial->target.host, &dial->addresses[at]);
    stop_racing(dial);
    dial->result.error = DIAL_OK;
    dial->reason[0] = '\0';
    if (dial->target.tls == NULL) {
        finish(dial);
        return;
    }
    enter(dial, DIAL_SHAKING_HANDS);
    stream_start_tls(dial->stream, dial->target.tls, dial->target.host, dial->target.port);
}

static void on_connect(void *owner, int status)
{
    struct attempt *attempt = owner;
    struct dial *dial = attempt->dial;
    if (dial->stage == DIAL_SHAKING_HANDS) {
        on_handshake(dial, status);
    } else if (status == 0) {
        on_won(dial, attempt);
    } else {
        fail_address(dial, &dial->addresses[attempt - dial->attempts], status);
        give_up(&attempt->stream);
        dial->nconnecting--;
        try_next(dial);
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

static void on_next_due(struct timer *timer)
{
    try_next(LIST_ENTRY(timer, struct dial, next));
}

/* False: this one cannot even be tried. */
static bool begin_attempt(struct dial *dial)
{
    uint32_t at = dial->ntried++;
    struct attempt *attempt = &dial->attempts[at];
    struct address *address = &dial->addresses[at];
    attempt->dial = dial;
    attempt->stream = stream_connect(dial->loop, &address->as.base, &stream_events, attempt);
    if (attempt->stream == NULL) {
        fail_address(dial, address, -errno);
        return false;
    }
    dial->nconnecting++;
    return true;
}

/* The next address that can be tried, if there is one. When none is left and none is under way, it
 * has failed. */
static void try_next(struct dial *dial)
{
    timer_stop(dial->loop, &dial->next);
    if (dial->stage == DIAL_RESOLVING)
        enter(dial, DIAL_CONNECTING);
    while (dial->ntried < dial->naddresses) {
        if (!begin_attempt(dial))
            continue;
        if (dial->ntried < dial->naddresses)
            timer_start(dial->loop, &dial->next, DIAL_ATTEMPT_MS, on_next_due);
        return;
    }
    if (dial->nconnecting == 0 && dial->is_resolved)
        timer_start(dial->loop, &dial->soon, 0, on_soon);
}

static bool is_known(const struct dial *dial, const struct address *address)
{
    for (uint32_t i = 0; i < dial->naddresses; i++)
        if (address_is_equal(&dial->addresses[i], address))
            return true;
    return false;
}

/* Behind those that were tried already; the families go on taking turns. */
static void add_addresses(struct dial *dial, const struct address *addresses, uint32_t count)
{
    int begin_with = AF_UNSPEC;
    for (uint32_t i = 0; i < count && dial->naddresses < RESOLVE_MAX_ADDRESSES; i++)
        if (!is_known(dial, &addresses[i]))
            dial->addresses[dial->naddresses++] = addresses[i];
    if (dial->ntried != 0)
        begin_with =
            dial->addresses[dial->ntried - 1].as.base.sa_family == AF_INET6 ? AF_INET : AF_INET6;
    address_order(dial->addresses + dial->ntried, dial->naddresses - dial->ntried, begin_with);
}

/* The one that is preferred goes first, when nothing was tried yet. */
static void put_first(struct dial *dial, const struct address *preferred)
{
    for (uint32_t i = 0; i < dial->naddresses && dial->ntried == 0; i++) {
        if (!address_is_same_host(&dial->addresses[i], preferred))
            continue;
        struct address first = dial->addresses[i];
        memmove(&dial->addresses[1], &dial->addresses[0], i * sizeof(first));
        dial->addresses[0] = first;
        return;
    }
}

static bool has_six(const struct resolve_news *news)
{
    for (uint32_t i = 0; i < news->count; i++)
        if (news->addresses[i].as.base.sa_family == AF_INET6)
            return true;
    return false;
}

static void on_resolved(void *owner, const struct resolve_news *news)
{
    struct dial *dial = owner;
    dial->is_resolved = news->is_final;
    if (news->is_final)
        dial->resolve = NULL;
    if (news->count == 0) {
        fail(dial, DIAL_BAD_NAME, news->reason);
        timer_start(dial->loop, &dial->soon, 0, on_soon);
        return;
    }
    add_addresses(dial, news->addresses, news->count);
    if (news->preferred != NULL)
        put_first(dial, news->preferred);
    bool is_waiting = dial->nconnecting != 0 && !timer_is_running(&dial->next);
    if (dial->stage == DIAL_RESOLVING && !news->is_final && !has_six(news))
        timer_start(dial->loop, &dial->next, DIAL_SIX_MS, on_next_due);
    else if (dial->stage == DIAL_RESOLVING || dial->nconnecting == 0)
        try_next(dial);
    else if (is_waiting && dial->ntried < dial->naddresses)
        timer_start(dial->loop, &dial->next, DIAL_ATTEMPT_MS, on_next_due);
}

static void resolve(struct dial *dial)
{
    const struct dial_target *target = &dial->target;
    bool is_unix = target->unix_path != NULL;
    dial->is_resolved = true;
    if (is_unix && !address_unix(&dial->addresses[0], str_of(target->unix_path))) {
        fail(dial, DIAL_REFUSED, "the path of the socket is too long");
        timer_start(dial->loop, &dial->soon, 0, on_soon);
    } else if (is_unix || address_literal(&dial->addresses[0], target->host, target->port)) {
        dial->naddresses = 1;
        try_next(dial);
    } else if (target->resolver == NULL) {
        fail(dial, DIAL_BAD_NAME, "names cannot be looked up here");
        timer_start(dial->loop, &dial->soon, 0, on_soon);
    } else {
        dial->is_resolved = false;
        dial->was_resolved = true;
        dial->resolve =
            resolve_start(target->resolver, target->host, target->port, on_resolved, dial);
    }
}

static void open_socket(struct dial *dial)
{
    int fd = dial->target.open_socket(dial->target.open_data);
    enter(dial, DIAL_CONNECTING);
    if (fd >= 0)
        dial->stream = stream_open(dial->loop, fd, &given_up_events, dial);
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
    stop_racing(dial);
    timer_stop(dial->loop, &dial->soon);
    give_up(&dial->stream);
    free(dial);
}

void dial_describe(const struct dial *dial, struct buf *text)
{
    const char *separator = dial->reason[0] != '\0' ? "; " : "";
    if (dial->stage == DIAL_RESOLVING && dial->resolve != NULL)
        resolve_describe(dial->resolve, text);
    if (dial->stage != DIAL_CONNECTING || !dial->was_resolved)
        return;
    buf_add_text(text, dial->reason);
    for (uint32_t i = 0; i < dial->ntried; i++) {
        char shown[ADDRESS_TEXT_BYTES];
        if (dial->attempts[i].stream == NULL)
            continue;
        address_text(&dial->addresses[i], shown);
        buf_printf(text, "%s%s: no answer", separator, shown);
        separator = "; ";
    }
}

enum dial_stage dial_stage(const struct dial *dial)
{
    return dial->stage;
}
