#include "base/log.h"

#include "base/buf.h"
#include "base/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The descriptor's number stays the same over a reopen (dup3), so threads that log meanwhile need
 * no lock. Before log_open everything goes to standard error. */
static struct {
    int fd;
    char path[PATH_MAX]; /* empty: standard error */
    enum log_level level;
    enum log_format format;
    const char *role;
    _Atomic uint32_t reopened;
    _Atomic uint64_t dropped;
    _Atomic uint64_t unreported; /* dropped lines that no line has told of yet */
    _Atomic bool is_torn;        /* the last line was cut: the next one starts with a newline */
} the_log = {.fd = STDERR_FILENO, .level = LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* A pipe or terminal is opened anew, so that O_NONBLOCK is ours alone: a reader that has stopped
 * must not stop the server. Sockets and foreign terminals cannot be opened so; then the plain one
 * serves. */
static int open_stderr(void)
{
    struct stat info;
    /* A file: what is printed past the log shall not overwrite it. */
    if (fstat(STDERR_FILENO, &info) == 0 && S_ISREG(info.st_mode))
        fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_APPEND);
    int fd = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd >= 0 ? fd : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
}

static int open_path(const char *path)
{
    if (*path == '\0')
        return open_stderr();
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0640);
}

int log_open(const char *path, enum log_level level, enum log_format format)
{
    if (path == NULL || strcmp(path, "-") == 0)
        path = "";
    size_t len = strlen(path);
    if (len >= sizeof(the_log.path))
        return -ENAMETOOLONG;
    int fd = open_path(path);
    if (fd < 0)
        return -errno;
    log_close();
    the_log.fd = fd;
    the_log.level = level;
    the_log.format = format;
    memcpy(the_log.path, path, len + 1);
    return 0;
}

int log_reopen(void)
{
    if (the_log.fd == STDERR_FILENO || *the_log.path == '\0')
        return 0;
    int fd = open_path(the_log.path);
    if (fd < 0)
        return -errno;
    int status = dup3(fd, the_log.fd, O_CLOEXEC) < 0 ? -errno : 0;
    close(fd);
    atomic_fetch_add(&the_log.reopened, 1);
    return status;
}

struct log_settings log_settings(void)
{
    return (struct log_settings){.fd = the_log.fd,
                                 .level = the_log.level,
                                 .format = the_log.format,
                                 .path = the_log.path,
                                 .role = the_log.role,
                                 .reopened = atomic_load(&the_log.reopened)};
}

int log_adopt(const struct log_settings *settings)
{
    size_t len = strlen(settings->path);
    if (len >= sizeof(the_log.path))
        return -ENAMETOOLONG;
    log_close();
    the_log.fd = settings->fd;
    the_log.level = settings->level;
    the_log.format = settings->format;
    memcpy(the_log.path, settings->path, len + 1);
    return 0;
}

void log_close(void)
{
    if (the_log.fd != STDERR_FILENO)
        close(the_log.fd);
    the_log.fd = STDERR_FILENO;
}

void log_set_role(const char *role)
{
    the_log.role = role;
}

bool log_is_on(enum log_level level)
{
    return level >= the_log.level;
}

uint64_t log_dropped(void)
{
    return atomic_load(&the_log.dropped);
}

static void add_time(struct buf *buf)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    buf_printf(buf, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", parts.tm_year + 1900, parts.tm_mon + 1,
               parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1000000);
}

static bool has_lines(struct str value)
{
    return value.len > 0 && memchr(value.ptr, '\n', value.len) != NULL;
}

/* Each line of the value below the log line, indented; what is in a line is escaped as ever. */
static void add_indented(struct buf *buf, struct str value)
{
    while (value.len > 0) {
        const char *end = memchr(value.ptr, '\n', value.len);
        size_t len = end != NULL ? (size_t)(end - value.ptr) : value.len;
        struct str line = {value.ptr, len};
        buf_add_text(buf, "\n    ");
        for (; line.len > 0 && *line.ptr == '\t'; line.ptr++, line.len--)
            buf_add_text(buf, "    "); /* tracebacks are indented with tabs */
        escape_text(buf, line);
        size_t taken = len + (end != NULL);
        value.ptr += taken;
        value.len -= taken;
    }
}

static void add_text_line(struct buf *buf, enum log_level level, const struct log_field *fields,
                          size_t nfields, struct str message)
{
    add_time(buf);
    buf_printf(buf, " %-5s ", level_names[level]);
    if (the_log.role != NULL)
        buf_printf(buf, "%s: ", the_log.role);
    escape_text(buf, message);
    for (size_t i = 0; i < nfields; i++) {
        if (has_lines(fields[i].value))
            continue;
        buf_printf(buf, " %s=", fields[i].name);
        escape_value(buf, fields[i].value);
    }
    for (size_t i = 0; i < nfields; i++)
        if (has_lines(fields[i].value))
            add_indented(buf, fields[i].value);
    buf_add_char(buf, '\n');
}

static void add_json_line(struct buf *buf, enum log_level level, const struct log_field *fields,
                          size_t nfields, struct str message)
{
    buf_add_text(buf, "{\"time\":\"");
    add_time(buf);
    buf_printf(buf, "\",\"level\":\"%s\",\"pid\":%d", level_names[level], (int)getpid());
    if (the_log.role != NULL)
        buf_printf(buf, ",\"role\":\"%s\"", the_log.role);
    buf_add_text(buf, ",\"message\":");
    escape_json(buf, message);
    for (size_t i = 0; i < nfields; i++) {
        buf_printf(buf, ",\"%s\":", fields[i].name);
        escape_json(buf, fields[i].value);
    }
    buf_add_text(buf, "}\n");
}

static void add_line(struct buf *buf, enum log_level level, const struct log_field *fields,
                     size_t nfields, struct str message)
{
    if (the_log.format == LOG_JSON)
        add_json_line(buf, level, fields, nfields, message);
    else
        add_text_line(buf, level, fields, nfields, message);
}

/* True when the whole line left. A part of a line that a full disk or pipe took is ended later. */
static bool write_line(struct str line)
{
    ssize_t written;
    do
        written = write(the_log.fd, line.ptr, line.len);
    while (written < 0 && errno == EINTR);
    if (written > 0 && (size_t)written < line.len)
        atomic_store(&the_log.is_torn, true);
    return written == (ssize_t)line.len;
}

static bool write_report(uint64_t lost)
{
    struct buf buf = {0};
    char text[96];
    int len = snprintf(text, sizeof(text), "the log could not be written: %llu lines are lost",
                       (unsigned long long)lost);
    if (atomic_exchange(&the_log.is_torn, false))
        buf_add_char(&buf, '\n');
    add_line(&buf, LOG_ERROR, NULL, 0, (struct str){text, (size_t)len});
    bool is_written = write_line(buf_str(&buf));
    buf_deinit(&buf);
    return is_written;
}

static void emit(struct str line)
{
    int saved_errno = errno;
    uint64_t lost = atomic_exchange(&the_log.unreported, 0);
    if ((lost == 0 || write_report(lost)) && write_line(line)) {
        errno = saved_errno;
        return;
    }
    atomic_fetch_add(&the_log.dropped, 1);
    atomic_fetch_add(&the_log.unreported, lost + 1);
    errno = saved_errno;
}

static void log_args(enum log_level level, const struct log_field *fields, size_t nfields,
                     const char *format, va_list args)
{
    if (!log_is_on(level))
        return;
    char *message = NULL;
    int len = vasprintf(&message, format, args);
    if (len < 0)
        return;
    struct buf line = {0};
    add_line(&line, level, fields, nfields, (struct str){message, (size_t)len});
    emit(buf_str(&line));
    buf_deinit(&line);
    free(message);
}

void log_with(enum log_level level, const struct log_field *fields, size_t nfields,
              const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_args(level, fields, nfields, format, args);
    va_end(args);
}

void log_debug(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_args(LOG_DEBUG, NULL, 0, format, args);
    va_end(args);
}

void log_info(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_args(LOG_INFO, NULL, 0, format, args);
    va_end(args);
}

void log_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_args(LOG_WARN, NULL, 0, format, args);
    va_end(args);
}

void log_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_args(LOG_ERROR, NULL, 0, format, args);
    va_end(args);
}
