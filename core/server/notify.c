#include "server/notify.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_BYTES = 512 };

struct notify {
    struct master_loop *loop;
    struct master_timer watchdog;
    int fd; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_len;
    uint64_t every_ms; /* of the watchdog; 0: there is none */
};

static void tell(struct notify *notify, const char *text)
{
    if (notify->fd < 0)
        return;
    ssize_t sent = sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL,
                          (struct sockaddr *)&notify->address, notify->address_len);
    if (sent < 0)
        log_debug("the service manager does not hear us: %s", strerror(errno));
}

static void on_watchdog(struct master_timer *timer)
{
    struct notify *notify = LIST_ENTRY(timer, struct notify, watchdog);
    tell(notify, "WATCHDOG=1");
    master_timer_start(notify->loop, timer, notify->every_ms, on_watchdog);
}

/* "/run/..." or "@abstract". */
static bool read_address(struct notify *notify, const char *path)
{
    size_t len = strlen(path);
    notify->address.sun_family = AF_UNIX;
    if ((*path != '/' && *path != '@') || len < 2 || len >= sizeof(notify->address.sun_path))
        return false;
    memcpy(notify->address.sun_path, path, len);
    if (*path == '@')
        notify->address.sun_path[0] = '\0';
    notify->address_len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (*path == '/'));
    return true;
}

static uint64_t watchdog_interval_ms(void)
{
    const char *interval = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t us = 0, whom = 0;
    bool is_ours = pid == NULL || (str_to_u64(str_of(pid), &whom) && whom == (uint64_t)getpid());
    if (interval == NULL || !is_ours || !str_to_u64(str_of(interval), &us) || us == 0)
        return 0;
    uint64_t half_ms = us / 2000;
    return half_ms != 0 ? half_ms : 1;
}

struct notify *notify_new(struct master_loop *loop)
{
    struct notify *notify = MEM_NEW(struct notify);
    const char *path = getenv("NOTIFY_SOCKET");
    notify->loop = loop;
    notify->fd = -1;
    master_timer_init(&notify->watchdog);
    if (path == NULL)
        return notify;
    if (!read_address(notify, path)) {
        log_warn("NOTIFY_SOCKET: %s is no socket of a service manager", path);
        return notify;
    }
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    notify->every_ms = watchdog_interval_ms();
    if (notify->fd >= 0 && notify->every_ms != 0)
        on_watchdog(&notify->watchdog);
    return notify;
}

void notify_free(struct notify *notify)
{
    if (notify == NULL)
        return;
    master_timer_stop(&notify->watchdog);
    if (notify->fd >= 0)
        close(notify->fd);
    free(notify);
}

void notify_leave(struct notify *notify)
{
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (notify != NULL && notify->fd >= 0)
        close(notify->fd);
}

void notify_ready(struct notify *notify, const char *status)
{
    char text[TEXT_BYTES];
    snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), status);
    tell(notify, text);
}

void notify_reloading(struct notify *notify)
{
    struct timespec now;
    char text[TEXT_BYTES];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    tell(notify, text);
}

void notify_stopping(struct notify *notify)
{
    tell(notify, "STOPPING=1\nSTATUS=stopping: requests in flight are finished");
}
