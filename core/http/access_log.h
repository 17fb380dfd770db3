/*
 * access_log.h - one line per answer, gathered in memory and written in one piece when the loop
 * turns.
 *
 * One per worker, on its loop's thread; nothing of it exists while the option is off. Whatever came
 * from the client is escaped: it cannot forge a line. A write that fails drops the lines and says
 * so in the server's log, once until writing works again.
 */
#pragma once

#include "base/config.h"

#include <stdint.h>

struct access_log;
struct loop;
struct request;

/* To config->accesslog, in config->log_format. NULL when it is off or cannot be opened (logged). */
struct access_log *access_log_open(struct loop *loop, const struct config *config);
/* Writes what has gathered. NULL is fine; so in the next. */
void access_log_close(struct access_log *log);
/* Opens the same path again, for rotation. */
void access_log_reopen(struct access_log *log);
/* `status`: 499 when the client left before the answer. */
void access_log_add(struct access_log *log, const struct request *request, uint16_t status);
/* Microseconds on a clock of its own, to time a request with. */
uint64_t access_log_now_us(void);
