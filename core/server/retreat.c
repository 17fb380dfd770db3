#include "server/retreat.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/payload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { HANG_S = 30, STACK_BYTES = 64 * 1024 };

/* What one execution needs. */
struct way {
    struct handover_mark mark;
    char *text; /* what is behind mark.text_fd; NULL: as it was found */
    int *fds;   /* closed on exec now, not then */
    size_t nfds;
};

static struct {
    pid_t pid; /* 0: there is no way back */
    char **argv;
    char **env;    /* of this program when it began, the variable of the mark left out, ... */
    size_t nenv;   /* ... with room for it here */
    int directory; /* -1: where we are */
    _Atomic(struct way *) way;
} retreat = {.directory = -1};

static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGALRM};
static char stack[STACK_BYTES]; /* a crash may be the end of the other one */

/* ---- going back: async-signal-safe ---- */

void retreat_enter_directory(void)
{
    if (retreat.directory >= 0)
        (void)!fchdir(retreat.directory);
}

static void go_back(int cause)
{
    char variable[HANDOVER_MARK_BYTES];
    struct way *way = atomic_load(&retreat.way);
    struct handover_mark mark = way->mark;
    mark.cause = cause;
    mark.failures++;
    handover_mark_text(&mark, variable);
    retreat.env[retreat.nenv] = variable;
    alarm(0); /* would outlive the exec */
    fcntl(mark.text_fd, F_SETFD, 0);
    fcntl(mark.former_fd, F_SETFD, 0);
    for (size_t i = 0; i < way->nfds; i++)
        fcntl(way->fds[i], F_SETFD, 0);
    retreat_enter_directory();
    execveat(mark.former_fd, "", retreat.argv, retreat.env, AT_EMPTY_PATH);
}

/* Where they are wanted, a core dump is left by a copy of us. */
static void leave_core(int number)
{
    struct rlimit limit;
    if (number == SIGALRM || getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur == 0 ||
        _Fork() != 0)
        return;
    signal(number, SIG_DFL);
    kill(getpid(), number);
    _exit(1);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    bool is_sent = number != SIGALRM && info->si_code <= 0 && info->si_code != SI_TIMER &&
                   info->si_pid != getpid();
    (void)context;
    if (retreat.pid == getpid() && !is_sent) {
        leave_core(number);
        go_back(number);
    }
    signal(number, SIG_DFL); /* what somebody else wants, or what happens in a forked process */
    kill(getpid(), number);
}

static void on_exit_called(void)
{
    if (retreat.pid != 0 && retreat.pid == getpid())
        go_back(RETREAT_EXITED);
}

/* ---- being ready for it ---- */

static void handle_signals(bool is_on)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    action.sa_sigaction = on_signal;
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        if (is_on)
            sigaction(signals[i], &action, NULL);
        else
            signal(signals[i], SIG_DFL);
}

static void copy_environment(void)
{
    size_t count = 0;
    while (environ[count] != NULL)
        count++;
    retreat.env = mem_zeroed((count + 2) * sizeof(*retreat.env));
    retreat.nenv = 0;
    for (size_t i = 0; i < count; i++)
        if (!handover_is_mark(environ[i]))
            retreat.env[retreat.nenv++] = environ[i];
}

bool retreat_arm(char **argv)
{
    static bool has_hook;
    struct handover_mark mark;
    if (!handover_read_mark(&mark) || mark.former_fd < 0)
        return true;
    if (mark.cause != 0 && mark.failures > 1 && handover_wait_for_stop())
        return false;
    struct way *way = MEM_NEW(struct way);
    way->mark = mark;
    atomic_store(&retreat.way, way);
    copy_environment();
    retreat.argv = argv;
    retreat.pid = getpid();
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof(stack)}, NULL);
    handle_signals(true);
    if (!has_hook)
        atexit(on_exit_called);
    has_hook = true;
    alarm(HANG_S);
    return true;
}

bool retreat_is_armed(void)
{
    return retreat.pid != 0;
}

static void free_way(struct way *way)
{
    if (way == NULL)
        return;
    if (way->text != NULL)
        close(way->mark.text_fd);
    free(way->text);
    free(way->fds);
    free(way);
}

void retreat_keep(const struct handover *handover)
{
    struct way *former = atomic_load(&retreat.way), *way;
    if (!retreat_is_armed())
        return;
    alarm(HANG_S);
    struct buf text = {0};
    handover_write(handover, &text);
    buf_add_char(&text, '\0');
    int fd = former->text != NULL && strcmp(former->text, text.ptr) == 0
                 ? -EEXIST
                 : payload_new((struct str){text.ptr, text.len - 1});
    if (fd >= 0) {
        way = MEM_NEW(struct way);
        way->mark = former->mark;
        way->mark.text_fd = fd;
        way->text = text.ptr;
        way->fds = mem_zeroed((handover_nfds(handover) + 1) * sizeof(*way->fds));
        way->nfds = handover_fds(handover, way->fds);
        atomic_store(&retreat.way, way);
        free_way(former);
        return;
    }
    buf_deinit(&text);
    if (fd != -EEXIST) /* better none than one that leads astray */
        log_warn("a crash of this program would end the server: %s", strerror(-fd));
    if (fd != -EEXIST)
        retreat_end();
}

void retreat_use_directory(int fd)
{
    retreat.directory = fd;
}

void retreat_end(void)
{
    if (!retreat_is_armed())
        return;
    alarm(0);
    handle_signals(false);
    retreat_leave();
}

void retreat_leave(void)
{
    struct way *way = atomic_exchange(&retreat.way, NULL);
    retreat.pid = 0;
    if (way != NULL)
        close(way->mark.former_fd);
    free_way(way);
    free(retreat.env);
    retreat.env = NULL;
}
