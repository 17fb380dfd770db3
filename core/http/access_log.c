#include "http/access_log.h"

#include "base/buf.h"
#include "base/escape.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/forwarded.h"
#include "http/method.h"
#include "http/request.h"
#include "loop/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { GATHER_MAX_BYTES = 32 * 1024 };

struct access_log {
    struct loop *loop;
    const char *path; /* the configuration's */
    bool is_json;
    bool has_failed; /* said once, until a write works */
    int fd;
    struct buf lines;
    struct timer flush;
    time_t shown_second; /* of `when` */
    char when[40];
};

static int open_path(const char *path)
{
    if (strcmp(path, "-") == 0)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_CLOEXEC, 0640);
}

struct access_log *access_log_open(struct loop *loop, const struct config *config)
{
    if (config->accesslog == NULL)
        return NULL;
    int fd = open_path(config->accesslog);
    if (fd < 0) {
        log_error("cannot open the access log %s: %s", config->accesslog, strerror(errno));
        return NULL;
    }
    struct access_log *log = MEM_NEW(struct access_log);
    log->loop = loop;
    log->path = config->accesslog;
    log->is_json = config->log_format == LOG_JSON;
    log->fd = fd;
    return log;
}

static void write_lines(struct access_log *log)
{
    size_t done = 0;
    while (done < log->lines.len) {
        ssize_t count = write(log->fd, log->lines.ptr + done, log->lines.len - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            break;
        done += (size_t)count;
    }
    if (done < log->lines.len && !log->has_failed)
        log_error("lines of the access log %s are lost: %s", log->path, strerror(errno));
    log->has_failed = done < log->lines.len;
    log->lines.len = 0;
}

void access_log_close(struct access_log *log)
{
    if (log == NULL)
        return;
    timer_stop(log->loop, &log->flush);
    write_lines(log);
    buf_deinit(&log->lines);
    close(log->fd);
    free(log);
}

void access_log_reopen(struct access_log *log)
{
    if (log == NULL)
        return;
    write_lines(log);
    int fd = open_path(log->path);
    if (fd < 0) {
        log_error("cannot open the access log %s anew: %s", log->path, strerror(errno));
        return;
    }
    close(log->fd);
    log->fd = fd;
}

uint64_t access_log_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static const char *when(struct access_log *log)
{
    time_t now = time(NULL);
    struct tm parts;
    if (now != log->shown_second) {
        gmtime_r(&now, &parts);
        strftime(log->when, sizeof(log->when),
                 log->is_json ? "%Y-%m-%dT%H:%M:%SZ" : "%d/%b/%Y:%H:%M:%S +0000", &parts);
        log->shown_second = now;
    }
    return log->when;
}

/* Between double quotes, where a quote of the client's would end the field. */
static void add_quoted(struct buf *lines, struct str text)
{
    buf_add_char(lines, '"');
    while (text.len != 0) {
        const char *quote = memchr(text.ptr, '"', text.len);
        size_t len = quote != NULL ? (size_t)(quote - text.ptr) : text.len;
        escape_text(lines, (struct str){text.ptr, len});
        if (quote == NULL)
            break;
        buf_add_text(lines, "\\x22");
        text = (struct str){quote + 1, text.len - len - 1};
    }
    buf_add_char(lines, '"');
}

static struct str field(const struct request *request, const char *name)
{
    struct str value;
    bool is_there = request->message.is_head_done && request_header(request, str_of(name), &value);
    return is_there ? value : str_of("-");
}

static struct str target_of(const struct request *request)
{
    return request->message.is_head_done ? request_slice(request, request->message.target)
                                         : str_of("-");
}

static struct str method_of_request(const struct request *request)
{
    return request->message.is_head_done ? method_name(request->message.method) : str_of("-");
}

static struct str id_of(const struct request *request)
{
    return request->id[0] != '\0' ? (struct str){request->id, REQUEST_ID_BYTES} : str_of("-");
}

/* The combined format, then seconds and the request's id. */
static void add_text(struct access_log *log, const struct request *request, struct str peer,
                     uint16_t status, double seconds)
{
    struct buf *lines = &log->lines;
    struct buf line = {0};
    buf_add_str(lines, peer);
    buf_printf(lines, " - - [%s] ", when(log));
    buf_add_str(&line, method_of_request(request));
    buf_add_char(&line, ' ');
    buf_add_str(&line, target_of(request));
    buf_printf(&line, " HTTP/1.%d", request->message.version == 10 ? 0 : 1);
    add_quoted(lines, buf_str(&line));
    buf_deinit(&line);
    buf_printf(lines, " %u %llu ", status, (unsigned long long)request->answer_bytes);
    add_quoted(lines, field(request, "referer"));
    buf_add_char(lines, ' ');
    add_quoted(lines, field(request, "user-agent"));
    buf_printf(lines, " %.6f ", seconds);
    buf_add_str(lines, id_of(request));
    buf_add_char(lines, '\n');
}

static void add_json(struct access_log *log, const struct request *request, struct str peer,
                     uint16_t status, double seconds)
{
    struct buf *lines = &log->lines;
    buf_printf(lines, "{\"time\":\"%s\",\"remote_addr\":", when(log));
    escape_json(lines, peer);
    buf_add_text(lines, ",\"request_id\":");
    escape_json(lines, id_of(request));
    buf_add_text(lines, ",\"method\":");
    escape_json(lines, method_of_request(request));
    buf_add_text(lines, ",\"target\":");
    escape_json(lines, target_of(request));
    buf_printf(lines, ",\"status\":%u,\"bytes\":%llu,\"duration\":%.6f,\"user_agent\":", status,
               (unsigned long long)request->answer_bytes, seconds);
    escape_json(lines, field(request, "user-agent"));
    buf_add_text(lines, "}\n");
}

static void on_flush(struct timer *timer)
{
    write_lines(LIST_ENTRY(timer, struct access_log, flush));
}

void access_log_add(struct access_log *log, const struct request *request, uint16_t status)
{
    char text[FORWARDED_ADDRESS_BYTES];
    struct str peer = {text, forwarded_client(request, text)};
    double seconds =
        request->began_us != 0 ? (double)(access_log_now_us() - request->began_us) / 1e6 : 0;
    if (log->is_json)
        add_json(log, request, peer, status, seconds);
    else
        add_text(log, request, peer, status, seconds);
    if (log->lines.len > GATHER_MAX_BYTES)
        write_lines(log);
    else if (!timer_is_running(&log->flush))
        timer_start(log->loop, &log->flush, 0, on_flush);
}
