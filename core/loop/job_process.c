#include "loop/job_process.h"

#include "base/exit_status.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/offload.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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

static void on_woken(struct job_process *process)
{
    uint64_t count;
    if (read(process->wake_fd, &count, sizeof(count)) < 0 || process->job == NULL ||
        process->give_up_ms != 0 || !offload_is_cancelled(process->job))
        return;
    process->give_up_ms = now_ms() + JOB_PROCESS_ANSWER_MS;
    if (write(process->control_fd, &process->number, sizeof(process->number)) < 0)
        process->give_up_ms = now_ms(); /* nobody reads */
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
                               {process->pid_fd, POLLIN, 0}};
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

int job_process_init(struct job_process *process)
{
    memset(process, 0, sizeof(*process));
    process->stream = (struct frame_stream){-1, wait_ready, process};
    process->control_fd = process->pid_fd = -1;
    process->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return process->wake_fd < 0 ? -errno : 0;
}

void job_process_deinit(struct job_process *process)
{
    ENSURE(process->pid == 0);
    if (process->wake_fd >= 0)
        close(process->wake_fd);
}

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* The other process's ends as descriptors that none of their final numbers overwrites. */
static int lift(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int lifted = fcntl(fds[i], F_DUPFD_CLOEXEC, JOB_PROCESS_LOG_FD + 1);
        if (lifted < 0)
            return -errno;
        close(fds[i]);
        fds[i] = lifted;
    }
    return 0;
}

/* `fds`: what becomes JOB_PROCESS_STREAM_FD and the next two. posix_spawn is a vfork: other threads
 * of this process may hold any lock meanwhile. */
static int spawn(pid_t *pid, const int fds[3])
{
    char name[] = "moonloop", word[] = JOB_PROCESS_WORD, role[64];
    char *argv[] = {name, word, role, NULL};
    struct log_settings log = log_settings();
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    snprintf(role, sizeof(role), "%s", log.role != NULL ? log.role : "");
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int status = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    for (int i = 0; i < 3 && status == 0; i++)
        status = posix_spawn_file_actions_adddup2(&actions, fds[i], JOB_PROCESS_STREAM_FD + i);
    if (status == 0)
        status = posix_spawn_file_actions_addclosefrom_np(&actions, JOB_PROCESS_LOG_FD + 1);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    if (status == 0)
        status = posix_spawn(pid, "/proc/self/exe", &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -status;
}

int job_process_start(struct job_process *process)
{
    int ours[2] = {-1, -1}, theirs[3] = {-1, -1, -1}, pair[2];
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
        status = theirs[2] < 0 ? -errno : lift(theirs, 3);
    }
    if (status == 0 &&
        (fcntl(ours[0], F_SETFL, O_NONBLOCK) != 0 || fcntl(ours[1], F_SETFL, O_NONBLOCK) != 0))
        status = -errno;
    if (status == 0)
        status = spawn(&process->pid, theirs);
    close_all(theirs, 3);
    if (status < 0) {
        close_all(ours, 2);
        process->pid = 0;
        return status;
    }
    process->stream.fd = ours[0];
    process->control_fd = ours[1];
    process->pid_fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
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

/* Its end of the control pipe closes with the last of its threads: where there is no pid_fd, that
 * tells as much. */
static void wait_for_end(const struct job_process *process, int patience_ms)
{
    uint64_t until = now_ms() + (uint64_t)patience_ms, now;
    struct pollfd fds[] = {{process->control_fd, 0, 0}, {process->pid_fd, POLLIN, 0}};
    while (fds[0].revents == 0 && fds[1].revents == 0 && (now = now_ms()) < until)
        if (poll(fds, 2, (int)(until - now)) < 0 && errno != EINTR)
            return;
}

void job_process_end(struct job_process *process, int patience_ms, char *how, size_t bytes)
{
    int status = 0;
    pid_t reaped;
    close(process->stream.fd);
    process->stream.fd = -1;
    wait_for_end(process, patience_ms);
    kill(-process->pid, SIGKILL); /* nothing to one that has ended: how it did is settled */
    do
        reaped = waitpid(process->pid, &status, 0);
    while (reaped < 0 && errno == EINTR);
    if (reaped == process->pid)
        exit_describe(status, how, bytes);
    else
        snprintf(how, bytes, "gone");
    close(process->control_fd);
    if (process->pid_fd >= 0)
        close(process->pid_fd);
    process->control_fd = process->pid_fd = -1;
    process->pid = 0;
    job_process_finish(process);
}
