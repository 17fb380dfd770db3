#include "server/master_loop.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

struct master_loop {
    int epoll_fd;
    bool is_stopped;
    void (*follow)(void *data); /* NULL: nobody */
    void *data;
    struct link timers; /* in no order: there are a dozen */
};

struct master_loop *master_loop_new(void)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        return NULL;
    struct master_loop *loop = MEM_NEW(struct master_loop);
    loop->epoll_fd = epoll_fd;
    link_init(&loop->timers);
    return loop;
}

void master_loop_free(struct master_loop *loop)
{
    if (loop == NULL)
        return;
    while (!link_is_alone(&loop->timers))
        link_remove(loop->timers.next);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    free(loop);
}

void master_loop_disown(struct master_loop *loop)
{
    close(loop->epoll_fd);
    loop->epoll_fd = -1;
}

uint64_t master_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct master_timer *next_timer(struct master_loop *loop)
{
    struct master_timer *next = NULL;
    for (struct link *link = loop->timers.next; link != &loop->timers; link = link->next) {
        struct master_timer *timer = LIST_ENTRY(link, struct master_timer, link);
        if (next == NULL || timer->due_ms < next->due_ms)
            next = timer;
    }
    return next;
}

static void call_follower(const struct master_loop *loop)
{
    if (loop->follow != NULL)
        loop->follow(loop->data);
}

void master_loop_use_follower(struct master_loop *loop, void (*follow)(void *data), void *data)
{
    loop->follow = follow;
    loop->data = data;
}

/* Fires what is due, one by one, since any callback may stop any timer. The wait that is left. */
static int run_timers(struct master_loop *loop)
{
    struct master_timer *timer;
    while ((timer = next_timer(loop)) != NULL && !loop->is_stopped) {
        uint64_t now = master_now_ms();
        if (timer->due_ms > now) {
            uint64_t wait_ms = timer->due_ms - now;
            return wait_ms < 3600000 ? (int)wait_ms : 3600000;
        }
        link_remove(&timer->link);
        timer->on_due(timer);
        call_follower(loop);
    }
    return -1;
}

void master_loop_run(struct master_loop *loop)
{
    loop->is_stopped = false;
    while (!loop->is_stopped) {
        int wait_ms = run_timers(loop);
        if (loop->is_stopped)
            return;
        struct epoll_event event; /* one at a time: the next may be stopped by this one */
        int count = epoll_wait(loop->epoll_fd, &event, 1, wait_ms);
        ENSURE(count >= 0 || errno == EINTR);
        if (count == 1) {
            struct master_watch *watch = event.data.ptr;
            watch->on_ready(watch);
            call_follower(loop);
        }
    }
}

void master_loop_stop(struct master_loop *loop)
{
    loop->is_stopped = true;
}

void master_watch_init(struct master_watch *watch)
{
    *watch = (struct master_watch){.fd = -1};
}

int master_watch_start(struct master_loop *loop, struct master_watch *watch, int fd,
                       void (*on_ready)(struct master_watch *watch))
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return -errno;
    watch->fd = fd;
    watch->on_ready = on_ready;
    return 0;
}

void master_watch_stop(struct master_loop *loop, struct master_watch *watch)
{
    if (watch->fd >= 0)
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->fd = -1;
}

void master_timer_init(struct master_timer *timer)
{
    *timer = (struct master_timer){0};
    link_init(&timer->link);
}

void master_timer_start(struct master_loop *loop, struct master_timer *timer, uint64_t delay_ms,
                        void (*on_due)(struct master_timer *timer))
{
    link_remove(&timer->link);
    timer->due_ms = master_now_ms() + delay_ms;
    timer->on_due = on_due;
    link_append(&loop->timers, &timer->link);
}

void master_timer_stop(struct master_timer *timer)
{
    link_remove(&timer->link);
}

bool master_timer_is_running(const struct master_timer *timer)
{
    return !link_is_alone(&timer->link);
}
