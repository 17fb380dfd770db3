#include "net/listener.h"

#include "base/log.h"
#include "base/mem.h"
#include "loop/uv_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

enum {
    ACCEPT_BATCH = 64,     /* then the connections that are open get their turn */
    BACKOFF_MS = 50,       /* after the process ran out of descriptors or memory */
    SAID_AGAIN_MS = 60000, /* that it did, at the earliest */
};

struct listener {
    uv_poll_t poll;
    uv_timer_t backoff;
    const struct listener_events *events;
    void *owner;
    int fd;
    unsigned open_handles; /* whose close callback is still to come */
    bool is_paused;        /* by the owner */
    bool is_starved;       /* of descriptors or memory: `backoff` runs */
    uint64_t said_ms;      /* when that was logged last; 0: never */
    bool is_yielding;      /* wanted by the owner, until the next turn */
    bool is_closing;
};

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void watch(struct listener *listener)
{
    if (!listener->is_paused && !listener->is_closing)
        uv_poll_start(&listener->poll, UV_READABLE, on_acceptable);
}

static void on_backoff_over(uv_timer_t *timer)
{
    struct listener *listener = timer->data;
    listener->is_starved = false;
    watch(listener);
}

/* The socket stays readable: watching it would turn the loop without end. */
static void back_off(struct listener *listener, int error)
{
    uint64_t now_ms = uv_now(listener->backoff.loop);
    if (listener->said_ms == 0 || now_ms - listener->said_ms >= SAID_AGAIN_MS) {
        log_warn("cannot accept: %s; new connections wait until there is room", strerror(error));
        listener->said_ms = now_ms;
    }
    listener->is_starved = true;
    uv_poll_stop(&listener->poll);
    uv_timer_start(&listener->backoff, on_backoff_over, BACKOFF_MS, 0);
}

/* accept(2); under STRESS it fails now and then, in each of the ways that it can. */
static int try_accept(int listening)
{
#ifdef STRESS
    static const int errors[] = {ECONNABORTED, EMFILE, EINTR, ENOBUFS};
    enum { EVERY = 7 };
    static _Thread_local unsigned count;
    if (++count % EVERY == 0) {
        errno = errors[count / EVERY % (sizeof(errors) / sizeof(*errors))];
        return -1;
    }
#endif
    return accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* True when one was accepted; false when none waits or none can be had. */
static bool accept_one(struct listener *listener)
{
    int fd = try_accept(listener->fd);
    if (fd >= 0) {
        listener->events->on_accept(listener->owner, fd);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        back_off(listener, errno);
    /* accept(2): these concern one connection that is already gone; the next may be fine */
    return errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    (void)status;
    (void)events;
    if (!listener->events->may_accept(listener->owner))
        return;
    listener->is_yielding = false;
    for (int i = 0; i < ACCEPT_BATCH && !listener->is_paused && !listener->is_closing; i++)
        if (!accept_one(listener) || listener->is_yielding)
            return;
}

struct listener *listener_open(struct loop *loop, int fd, const struct listener_events *events,
                               void *owner)
{
    struct listener *listener = MEM_NEW(struct listener);
    int yes = 1;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    /* Inherited by what is accepted (tcp(7)); fails for a Unix socket, which needs none. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    ENSURE(uv_poll_init(loop_uv(loop), &listener->poll, fd) == 0);
    ENSURE(uv_timer_init(loop_uv(loop), &listener->backoff) == 0);
    listener->poll.data = listener;
    listener->backoff.data = listener;
    listener->open_handles = 2;
    listener->fd = fd;
    listener->events = events;
    listener->owner = owner;
    watch(listener);
    return listener;
}

void listener_pause(struct listener *listener)
{
    listener->is_paused = true;
    if (!listener->is_closing) {
        uv_poll_stop(&listener->poll);
        uv_timer_stop(&listener->backoff);
    }
}

void listener_resume(struct listener *listener)
{
    listener->is_paused = listener->is_starved = false;
    watch(listener);
}

void listener_yield(struct listener *listener)
{
    listener->is_yielding = true;
}

void listener_retry(struct listener *listener)
{
    if (!listener->is_starved || listener->is_closing)
        return;
    uv_timer_stop(&listener->backoff);
    on_backoff_over(&listener->backoff);
}

void listener_accept_queued(struct listener *listener)
{
    while (accept_one(listener))
        ;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    if (--listener->open_handles == 0)
        free(listener);
}

void listener_close(struct listener *listener)
{
    if (listener == NULL || listener->is_closing)
        return;
    listener->is_closing = true;
    uv_close((uv_handle_t *)&listener->backoff, on_handle_closed);
    uv_close((uv_handle_t *)&listener->poll, on_handle_closed);
}
