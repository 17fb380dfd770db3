/*
 * Two handles of libuv do it: a check, which runs after the sockets had their turn and decides what
 * is next, and an idle handle, which is on when that is another turn at once.
 */
#include "loop/virtual_time.h"

#include "base/mem.h"
#include "loop/loop.h"
#include "loop/loop_parts.h"
#include "loop/uv_loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <uv.h>

/* Turns without anything to read before a conversation inside this process counts as settled: one
 * end may need a few from what it was sent to what it sends. */
enum { QUIET_TURNS = 16, SECOND_US = 1000000 };

struct virtual_time {
    struct loop *loop;
    uv_check_t check;
    uv_idle_t spin;
    uv_timer_t alarm; /* the next timer, while something real is waited for */
    uint64_t now_us;
    uint64_t real_us; /* when the clock last ran with the real one; 0: it stands */
    int64_t wall_offset_us;
    unsigned quiet_turns;
    unsigned open_handles;
    void (*on_stuck)(void *data);
    void *data;
};

uint64_t virtual_now_us(const struct virtual_time *time)
{
    return time->now_us;
}

int64_t virtual_wall_us(const struct virtual_time *time)
{
    return (int64_t)time->now_us + time->wall_offset_us;
}

static void run_with_real_clock(struct virtual_time *time)
{
    uint64_t real_us = uv_hrtime() / 1000;
    bool is_real = loop_waits(time->loop)[WAIT_REAL] != 0;
    if (time->real_us != 0)
        time->now_us += real_us - time->real_us;
    time->real_us = is_real ? real_us : 0;
}

static void on_spin(uv_idle_t *handle)
{
    (void)handle; /* that it is on makes the loop look at its sockets without waiting */
}

static void on_alarm(uv_timer_t *handle)
{
    (void)handle; /* the check, which comes next, does the work */
}

/* Whether some descriptor can be read or written now: libuv watches with epoll, whose own
 * descriptor tells. */
static bool is_any_ready(struct loop *loop)
{
    struct pollfd fd = {.fd = uv_backend_fd(loop_uv(loop)), .events = POLLIN};
    return poll(&fd, 1, 0) > 0;
}

/* How the loop waits next: not at all, for something real, or not at all after a jump. */
static void plan(struct virtual_time *time)
{
    const uint32_t *waits = loop_waits(time->loop);
    uint64_t due_ms = loop_next_due_ms(time->loop), now_ms = time->now_us / 1000;
    uv_idle_start(&time->spin, on_spin);
    uv_timer_stop(&time->alarm);
    if (due_ms > now_ms && waits[WAIT_REAL] != 0) {
        uv_idle_stop(&time->spin);
        if (due_ms != UINT64_MAX)
            uv_timer_start(&time->alarm, on_alarm, due_ms - now_ms, 0);
    } else if (due_ms <= now_ms || (waits[WAIT_LOCAL] != 0 && is_any_ready(time->loop))) {
        time->quiet_turns = 0;
    } else if (waits[WAIT_LOCAL] != 0 && ++time->quiet_turns < QUIET_TURNS) {
        return;
    } else if (due_ms != UINT64_MAX) {
        time->quiet_turns = 0;
        time->now_us = due_ms * 1000;
    } else {
        time->quiet_turns = 0;
        time->on_stuck(time->data);
    }
}

static void on_check(uv_check_t *handle)
{
    struct virtual_time *time = handle->data;
    struct loop *loop = time->loop;
    run_with_real_clock(time);
    timers_run(loop);
    if (*loop_virtual(loop) == time)
        deadlines_run(loop);
    if (*loop_virtual(loop) == time)
        plan(time);
}

int virtual_time_start(struct loop *loop, int64_t wall_us, void (*on_stuck)(void *data), void *data)
{
    if (*loop_virtual(loop) != NULL)
        return -EBUSY;
    struct virtual_time *time = MEM_NEW(struct virtual_time);
    int64_t before_ms = (int64_t)loop_now_ms(loop);
    time->loop = loop;
    time->now_us = (loop_precise_us(loop) / SECOND_US + 1) * SECOND_US; /* never back, and round */
    time->wall_offset_us = wall_us - (int64_t)time->now_us;
    time->on_stuck = on_stuck;
    time->data = data;
    ENSURE(uv_check_init(loop_uv(loop), &time->check) == 0);
    ENSURE(uv_idle_init(loop_uv(loop), &time->spin) == 0);
    ENSURE(uv_timer_init(loop_uv(loop), &time->alarm) == 0);
    time->check.data = time->spin.data = time->alarm.data = time;
    time->open_handles = VIRTUAL_HANDLES;
    uv_check_start(&time->check, on_check);
    uv_idle_start(&time->spin, on_spin);
    *loop_virtual(loop) = time;
    loop_set_clock(loop, (int64_t)(time->now_us / 1000) - before_ms);
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct virtual_time *time = handle->data;
    if (--time->open_handles == 0)
        free(time);
}

void virtual_time_stop(struct loop *loop)
{
    struct virtual_time *time = *loop_virtual(loop);
    if (time == NULL)
        return;
    int64_t virtual_ms = (int64_t)(time->now_us / 1000);
    *loop_virtual(loop) = NULL;
    loop_update_time(loop);
    loop_set_clock(loop, (int64_t)loop_now_ms(loop) - virtual_ms);
    uv_close((uv_handle_t *)&time->check, on_handle_closed);
    uv_close((uv_handle_t *)&time->spin, on_handle_closed);
    uv_close((uv_handle_t *)&time->alarm, on_handle_closed);
}

bool virtual_time_is_on(struct loop *loop)
{
    return *loop_virtual(loop) != NULL;
}
