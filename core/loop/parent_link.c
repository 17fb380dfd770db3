#include "loop/parent_link.h"

#include "base/mem.h"
#include "loop/job_process.h"
#include "loop/offload.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct parent_link {
    void (*on_cancel)(void *data);
    void *data;
    pthread_mutex_t lock; /* guards all below */
    struct offload_job *job;
    uint64_t number;
    uint64_t cancelled; /* the last job that is; it may not have begun here */
};

static void on_foreign_signal(int number)
{
    (void)number;
}

static void end_process(void) __attribute__((noreturn));

/* With what its jobs have started. */
static void end_process(void)
{
    if (getpgrp() == getpid())
        kill(0, SIGKILL);
    _exit(0);
}

/* Ctrl-C and a supervisor's TERM reach every process of the server; the parent decides what they
 * mean. A handler instead of SIG_IGN: programs that a job starts do not inherit it. */
static void leave_signals_to_parent(void)
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    struct sigaction action = {.sa_handler = on_foreign_signal, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        sigaction(numbers[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

int parent_link_prepare(void)
{
    struct stat stream, control;
    if (fstat(JOB_PROCESS_STREAM_FD, &stream) != 0 || fstat(JOB_PROCESS_CONTROL_FD, &control) != 0)
        return -errno;
    if (!S_ISSOCK(stream.st_mode) || !S_ISFIFO(control.st_mode))
        return -EINVAL;
    for (int fd = JOB_PROCESS_STREAM_FD; fd <= JOB_PROCESS_LOG_FD; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    leave_signals_to_parent();
    prctl(PR_SET_NAME, "moonloop-job");
    return 0;
}

static void on_cancelled(struct parent_link *link, uint64_t number)
{
    pthread_mutex_lock(&link->lock);
    link->cancelled = number;
    if (link->job != NULL && link->number == number) {
        atomic_store(&link->job->is_cancelled, true);
        link->on_cancel(link->data);
    }
    pthread_mutex_unlock(&link->lock);
}

static void *listen_main(void *arg)
{
    uint64_t number;
    for (;;) {
        ssize_t count = read(JOB_PROCESS_CONTROL_FD, &number, sizeof(number));
        if (count == (ssize_t)sizeof(number))
            on_cancelled(arg, number);
        else if (count >= 0 || errno != EINTR)
            end_process();
    }
}

struct parent_link *parent_link_open(void (*on_cancel)(void *data), void *data)
{
    struct parent_link *link = MEM_NEW(struct parent_link);
    sigset_t all, before;
    pthread_t id;
    link->on_cancel = on_cancel;
    link->data = data;
    pthread_mutex_init(&link->lock, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&id, NULL, listen_main, link);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == 0) {
        pthread_detach(id);
        return link;
    }
    pthread_mutex_destroy(&link->lock);
    free(link);
    return NULL;
}

void parent_link_begin(struct parent_link *link, struct offload_job *job, uint64_t number)
{
    pthread_mutex_lock(&link->lock);
    link->job = job;
    link->number = number;
    atomic_init(&job->is_cancelled, link->cancelled == number);
    pthread_mutex_unlock(&link->lock);
}

void parent_link_finish(struct parent_link *link)
{
    pthread_mutex_lock(&link->lock);
    link->job = NULL;
    pthread_mutex_unlock(&link->lock);
}
