/*
 * log.h - the server's own log: text or one JSON object a line, to a file or standard error.
 *
 * One per process, opened before the first fork; the only mutable global of the program. A line is
 * built whole and leaves in one write(2) to an O_APPEND descriptor, so lines of several workers
 * never mix. Control characters, quotes and invalid UTF-8 in any value are escaped: nothing that a
 * client sends can forge a line. A write that fails (a full disk) drops the line, counts it, and
 * says so once when writing works again; it never blocks or ends the server.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_field {
    const char *name; /* a C literal: [a-z_]+ */
    struct str value;
};

/* `path`: a file to append to; "-" or NULL is standard error. 0 or -errno. */
int log_open(const char *path, enum log_level level, enum log_format format);
/* Opens the same path again, for log rotation. 0 or -errno; on failure the old file stays in use.
 */
int log_reopen(void);
void log_close(void);
/* What another process needs in order to write the same log. `path` is empty for standard error;
 * `reopened` counts log_reopen, from 0. Path and role are borrowed. */
struct log_settings {
    int fd;
    enum log_level level;
    enum log_format format;
    const char *path;
    const char *role; /* NULL: none */
    uint32_t reopened;
};
struct log_settings log_settings(void);
/* Goes on with another process's log; takes the descriptor over. 0 or -ENAMETOOLONG. */
int log_adopt(const struct log_settings *settings);
/* Who writes: "master", "worker 2", "check". Borrowed for ever. NULL: nobody in particular. */
void log_set_role(const char *role);
bool log_is_on(enum log_level level);
/* Lines lost to failed writes since the start. */
uint64_t log_dropped(void);

void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same with named values: ` app=hello route="GET /x"` in text, members in JSON. A value of
 * several lines (a traceback) is indented below the line in text. */
void log_with(enum log_level level, const struct log_field *fields, size_t nfields,
              const char *format, ...) __attribute__((format(printf, 4, 5)));
