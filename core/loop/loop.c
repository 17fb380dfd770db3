/*
 * One libuv loop with four handles of its own: timer and idle under the heap of exact timers, the
 * tick of the coarse deadlines, and the async handle that loop_wake uses. All but the last run only
 * while there is something for them to do, and none keeps the loop alive by itself.
 */
#include "loop/loop.h"

#include "base/list.h"
#include "base/mem.h"
#include "loop/deadline.h"
#include "loop/loop_parts.h"
#include "loop/offload.h"
#include "loop/uv_loop.h"
#include "loop/virtual_time.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

enum { DEADLINE_TICK_MS = 125, HTTP_DATE_BYTES = 29 };

struct loop {
    uv_loop_t uv;
    uv_timer_t timer_handle;
    uv_idle_t due_handle; /* for timers that are due: a uv_timer_t of 0 starves the sockets */
    uv_timer_t deadline_handle;
    uint64_t tick_due_ms; /* when it is to call next */
    uv_async_t wake_handle;
    struct timer_heap timers;
    struct deadline_queue *deadlines;
    struct offload *offloads;
    struct virtual_time *virtual_time; /* NULL: the clock is the real one */
    uint32_t waits[WAIT_KINDS];
    struct link children;
    struct loop_part *parts;
    uint32_t files;
    uint64_t date_due_ms; /* when http_date has to be formatted again */
    char http_date[HTTP_DATE_BYTES + 1];
};

struct fd_watch {
    uv_poll_t poll;
    void (*on_readable)(void *data);
    void *data;
};

static void on_timers_due(uv_timer_t *handle)
{
    timers_run(handle->data);
}

static void on_due_now(uv_idle_t *handle)
{
    uv_idle_stop(handle);
    timers_run(handle->data);
}

static void on_deadline_tick(uv_timer_t *handle)
{
    struct loop *loop = handle->data;
    uint64_t now_ms = uv_now(&loop->uv), late_ms = now_ms - loop->tick_due_ms;
    loop->tick_due_ms = now_ms + DEADLINE_TICK_MS;
    if (late_ms >= DEADLINE_TICK_MS)
        deadlines_spare_peers(loop, late_ms);
    deadlines_run(loop);
}

static void on_wake(uv_async_t *handle)
{
    (void)handle; /* waking up was all there was to do */
}

struct loop *loop_new(void)
{
    struct loop *loop = MEM_NEW(struct loop);
    ENSURE(uv_loop_init(&loop->uv) == 0);
    ENSURE(uv_timer_init(&loop->uv, &loop->timer_handle) == 0);
    ENSURE(uv_idle_init(&loop->uv, &loop->due_handle) == 0);
    ENSURE(uv_timer_init(&loop->uv, &loop->deadline_handle) == 0);
    ENSURE(uv_async_init(&loop->uv, &loop->wake_handle, on_wake) == 0);
    uv_unref((uv_handle_t *)&loop->wake_handle);
    uv_unref((uv_handle_t *)&loop->deadline_handle);
    link_init(&loop->children);
    loop->timer_handle.data = loop;
    loop->due_handle.data = loop;
    loop->deadline_handle.data = loop;
    loop->wake_handle.data = loop;
    return loop;
}

static void close_stray(uv_handle_t *handle, void *data)
{
    (void)data;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

struct loop_part *loop_find_part(const struct loop *loop, const void *kind)
{
    struct loop_part *part = loop->parts;
    while (part != NULL && part->kind != kind)
        part = part->next;
    return part;
}

void loop_add_part(struct loop *loop, struct loop_part *part)
{
    part->next = loop->parts;
    loop->parts = part;
}

static void free_parts(struct loop *loop)
{
    while (loop->parts != NULL) {
        struct loop_part *part = loop->parts;
        loop->parts = part->next;
        part->free(part);
    }
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    free_parts(loop);
    virtual_time_stop(loop);
    offloads_free(loop);
    children_free(loop);
    uv_walk(&loop->uv, close_stray, NULL);
    while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0)
        ;
    ENSURE(uv_loop_close(&loop->uv) == 0);
    deadlines_free(loop);
    free(loop->timers.places);
    free(loop);
}

void loop_run(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

bool loop_turn(struct loop *loop)
{
    return uv_run(&loop->uv, UV_RUN_NOWAIT) != 0;
}

bool loop_turn_waiting(struct loop *loop)
{
    return uv_run(&loop->uv, UV_RUN_ONCE) != 0;
}

void loop_wake(struct loop *loop)
{
    uv_async_send(&loop->wake_handle);
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->virtual_time == NULL ? uv_now(&loop->uv)
                                      : virtual_now_us(loop->virtual_time) / 1000;
}

uint64_t loop_precise_us(const struct loop *loop)
{
    return loop->virtual_time == NULL ? uv_hrtime() / 1000 : virtual_now_us(loop->virtual_time);
}

int64_t loop_wall_us(const struct loop *loop)
{
    struct timespec wall;
    if (loop->virtual_time != NULL)
        return virtual_wall_us(loop->virtual_time);
    clock_gettime(CLOCK_REALTIME, &wall);
    return (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000;
}

void loop_update_time(struct loop *loop)
{
    uv_update_time(&loop->uv);
}

const char *loop_http_date(struct loop *loop)
{
    uint64_t now_ms = uv_now(&loop->uv);
    if (now_ms >= loop->date_due_ms) {
        struct timespec wall;
        struct tm utc;
        clock_gettime(CLOCK_REALTIME, &wall);
        gmtime_r(&wall.tv_sec, &utc);
        /* RFC 9110, 5.6.7: IMF-fixdate */
        strftime(loop->http_date, sizeof(loop->http_date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
        loop->date_due_ms = now_ms + 1000 - (uint64_t)wall.tv_nsec / 1000000;
    }
    return loop->http_date;
}

static void count_handle(uv_handle_t *handle, void *data)
{
    if (!uv_is_closing(handle))
        ++*(uint32_t *)data;
}

uint32_t loop_handles(const struct loop *loop)
{
    uint32_t count = 0;
    uv_walk((uv_loop_t *)&loop->uv, count_handle, &count);
    uint32_t ours = 4 + offloads_count(loop) + (loop->virtual_time != NULL ? VIRTUAL_HANDLES : 0);
    return count - ours;
}

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

struct timer_heap *loop_timers(struct loop *loop)
{
    return &loop->timers;
}

struct offload **loop_offloads(struct loop *loop)
{
    return &loop->offloads;
}

struct link *loop_children(struct loop *loop)
{
    return &loop->children;
}

uint32_t *loop_files(struct loop *loop)
{
    return &loop->files;
}

struct deadline_queue **loop_deadlines(struct loop *loop)
{
    return &loop->deadlines;
}

struct virtual_time **loop_virtual(struct loop *loop)
{
    return &loop->virtual_time;
}

const uint32_t *loop_waits(const struct loop *loop)
{
    return loop->waits;
}

void loop_wait_begins(struct loop *loop, enum wait_kind kind)
{
    loop->waits[kind]++;
}

void loop_wait_ends(struct loop *loop, enum wait_kind kind)
{
    ENSURE(loop->waits[kind]-- != 0);
}

uint32_t loop_waiting(const struct loop *loop)
{
    return loop->waits[WAIT_REAL] + loop->waits[WAIT_LOCAL] + loop->waits[WAIT_PASSIVE];
}

uint64_t loop_next_due_ms(struct loop *loop)
{
    uint64_t timer_ms = loop->timers.count != 0 ? loop->timers.places[0].due_ms : UINT64_MAX;
    uint64_t deadline_ms = deadlines_next_ms(loop);
    return timer_ms < deadline_ms ? timer_ms : deadline_ms;
}

void loop_set_clock(struct loop *loop, int64_t shift_ms)
{
    uv_timer_stop(&loop->timer_handle);
    uv_idle_stop(&loop->due_handle);
    uv_timer_stop(&loop->deadline_handle);
    timers_shift(loop, shift_ms);
    deadlines_shift(loop, shift_ms);
    if (deadlines_next_ms(loop) != UINT64_MAX)
        loop_arm_deadlines(loop, true);
}

void loop_arm_timers(struct loop *loop, uint64_t due_ms)
{
    uint64_t now_ms = uv_now(&loop->uv);
    if (loop->virtual_time != NULL)
        return; /* it looks for itself */
    if (due_ms == 0) {
        uv_timer_stop(&loop->timer_handle);
        uv_idle_stop(&loop->due_handle);
    } else if (due_ms <= now_ms) {
        uv_idle_start(&loop->due_handle, on_due_now);
    } else {
        uv_timer_start(&loop->timer_handle, on_timers_due, due_ms - now_ms, 0);
    }
}

void loop_arm_deadlines(struct loop *loop, bool is_on)
{
    if (loop->virtual_time != NULL)
        return;
    if (!is_on) {
        uv_timer_stop(&loop->deadline_handle);
    } else if (!uv_is_active((uv_handle_t *)&loop->deadline_handle)) {
        loop->tick_due_ms = uv_now(&loop->uv) + DEADLINE_TICK_MS;
        uv_timer_start(&loop->deadline_handle, on_deadline_tick, DEADLINE_TICK_MS,
                       DEADLINE_TICK_MS);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct fd_watch *watch = poll->data;
    (void)status; /* an error shows when the owner reads */
    (void)events;
    watch->on_readable(watch->data);
}

struct fd_watch *fd_watch_start(struct loop *loop, int fd, void (*on_readable)(void *data),
                                void *data)
{
    struct fd_watch *watch = MEM_NEW(struct fd_watch);
    ENSURE(uv_poll_init(&loop->uv, &watch->poll, fd) == 0);
    watch->poll.data = watch;
    watch->on_readable = on_readable;
    watch->data = data;
    ENSURE(uv_poll_start(&watch->poll, UV_READABLE | UV_DISCONNECT, on_poll) == 0);
    return watch;
}

void fd_watch_unref(struct fd_watch *watch)
{
    uv_unref((uv_handle_t *)&watch->poll);
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void fd_watch_stop(struct fd_watch *watch)
{
    if (watch == NULL)
        return;
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}
