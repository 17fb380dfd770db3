#include "loop/job_process.h"

#include "base/exit_status.h"
#include "base/helper.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/offload.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- waiting ---- */

static void tell_if_cancelled(struct job_process *process)
{
    if (process->job == NULL || process->give_up_ms != 0 || !offload_is_cancelled(process->job))
        return;
    process->give_up_ms = now_ms() + JOB_PROCESS_ANSWER_MS;
    if (write(process->control_fd, &process->number, sizeof(process->number)) < 0)
        process->give_up_ms = now_ms(); /* nobody reads */
}

static void on_woken(struct job_process *process)
{
    uint64_t count;
    if (read(process->wake_fd, &count, sizeof(count)) > 0)
        tell_if_cancelled(process);
}

/* The deadline comes first: no flood of messages puts it off. */
static int wait_ready(void *data, short events)
{
    struct job_process *process = data;
    for (;;) {
        int timeout_ms = -1;
        uint64_t now = process->give_up_ms != 0 ? now_ms() : 0;
        if (process->give_up_ms != 0 && now >= process->give_up_ms)
            return -ETIMEDOUT;
        if (process->give_up_ms != 0)
            timeout_ms = (int)(process->give_up_ms - now);
        struct pollfd fds[] = {{process->stream.fd, events, 0},
                               {process->wake_fd, POLLIN, 0},
                               {process->child.end_fd, POLLIN, 0}};
        if (poll(fds, 3, timeout_ms) < 0 && errno != EINTR)
            return -errno;
        if (fds[1].revents != 0)
            on_woken(process);
        else if (fds[0].revents != 0 && ((events & POLLIN) != 0 || fds[2].revents == 0))
            return 0;
        else if (fds[2].revents != 0)
            return -ECONNRESET; /* dead, though a process that it forked holds the stream */
    }
}

void job_process_wake(struct job_process *process)
{
    uint64_t one = 1;
    while (write(process->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

/* ---- starting ---- */

void job_process_init(struct job_process *process)
{
    memset(process, 0, sizeof(*process));
    process->stream = (struct frame_stream){-1, wait_ready, process};
    process->control_fd = process->child.end_fd = -1;
    process->wake_fd = -1;
}

void job_process_deinit(struct job_process *process)
{
    ENSURE(process->child.pid == 0);
    if (process->wake_fd >= 0)
        close(process->wake_fd);
}

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* `fds`: what becomes JOB_PROCESS_STREAM_FD and the next two. */
static int start_program(struct launched *child, const int theirs[3])
{
    const struct log_settings log = log_settings();
    const char *role = log.role != NULL ? log.role : "";
    const char *argv[] = {JOB_PROCESS_PROGRAM, JOB_PROCESS_WORD, role, NULL};
    int fds[] = {-1, STDOUT_FILENO, STDERR_FILENO, theirs[0], theirs[1], theirs[2], helper_fd()};
    uint32_t nfds = helper_is_there() ? JOB_PROCESS_HELPER_FD + 1 : JOB_PROCESS_HELPER_FD;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            fds[fd] = -1; /* closed here, not left to be taken by something else there */
    const struct launch launching = {.argv = argv, .fds = fds, .nfds = nfds};
    return launch(&launching, child);
}

int job_process_start(struct job_process *process)
{
    int ours[2] = {-1, -1}, theirs[3] = {-1, -1, -1}, pair[2];
    int wake_fd = process->wake_fd;
    if (wake_fd < 0 && (wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        return -errno;
    process->wake_fd = wake_fd;
    int status = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ? -errno : 0;
    if (status == 0) {
        ours[0] = pair[0];
        theirs[0] = pair[1];
        status = pipe2(pair, O_CLOEXEC) != 0 ? -errno : 0;
    }
    if (status == 0) {
        ours[1] = pair[1];
        theirs[1] = pair[0];
        theirs[2] = fcntl(log_settings().fd, F_DUPFD_CLOEXEC, 3);
        status = theirs[2] < 0 ? -errno : 0;
    }
    if (status == 0 &&
        (fcntl(ours[0], F_SETFL, O_NONBLOCK) != 0 || fcntl(ours[1], F_SETFL, O_NONBLOCK) != 0))
        status = -errno;
    if (status == 0)
        status = start_program(&process->child, theirs);
    close_all(theirs, 3);
    if (status < 0) {
        close_all(ours, 2);
        process->child.pid = 0;
        return status;
    }
    process->stream.fd = ours[0];
    process->control_fd = ours[1];
    return 0;
}

/* ---- jobs ---- */

bool job_process_is_fit(const struct job_process *process)
{
    char byte;
    return recv(process->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

void job_process_begin(struct job_process *process, struct offload_job *job)
{
    process->job = job;
    process->number++;
    process->give_up_ms = 0;
    process->has_answered = false;
    tell_if_cancelled(process); /* before there was anything to wake */
}

void job_process_finish(struct job_process *process)
{
    process->job = NULL;
    process->give_up_ms = 0;
}

void job_process_grant_unwinding(struct job_process *process)
{
    if (process->give_up_ms == 0 || process->has_answered)
        return;
    process->has_answered = true;
    process->give_up_ms = now_ms() + JOB_PROCESS_UNWIND_MS;
}

/* ---- ending ---- */

static void wait_for_end(const struct job_process *process, int patience_ms)
{
    struct pollfd ended = {process->child.end_fd, POLLIN, 0};
    while (poll(&ended, 1, patience_ms) < 0 && errno == EINTR)
        ;
}

void job_process_end(struct job_process *process, int patience_ms, char *how, size_t bytes)
{
    struct launch_end end;
    close(process->stream.fd);
    wait_for_end(process, patience_ms);
    launch_signal(&process->child, SIGKILL); /* how one that has ended did so is settled */
    wait_for_end(process, -1);
    if (launch_has_ended(&process->child, &end) && end.is_known)
        exit_describe(end.signal != 0 ? end.signal : W_EXITCODE(end.status, 0), how, bytes);
    else
        snprintf(how, bytes, "gone");
    launch_reap(&process->child, -1);
    close(process->control_fd);
    process->stream.fd = process->control_fd = -1;
    process->child = (struct launched){.end_fd = -1};
    job_process_finish(process);
}
