/*
 * notify.h - tells the service manager how the server is (sd_notify(3)): nothing without
 * NOTIFY_SOCKET in the environment.
 *
 * The protocol is a datagram of NAME=value lines; that is why there is no library for it here.
 */
#pragma once

#include "server/master_loop.h"

#include <stdint.h>

struct notify;

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. From here on the manager hears of the loop
 * twice in each watchdog interval. Never NULL. */
struct notify *notify_new(struct master_loop *loop);
void notify_free(struct notify *notify); /* NULL is fine */
/* In a forked worker: what it starts is not the manager's business. */
void notify_leave(struct notify *notify);

/* Every worker serves; `status` is one line for `systemctl status`. Also after notify_reloading. */
void notify_ready(struct notify *notify, const char *status);
void notify_reloading(struct notify *notify);
void notify_stopping(struct notify *notify);
