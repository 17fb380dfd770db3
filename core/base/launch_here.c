/*
 * As posix_spawn does it, for what that cannot do (a pidfd, the death signal, closing what is
 * open): the child shares our memory, on a stack of its own, until it becomes the program;
 * meanwhile this thread is suspended. So the child says what failed by writing it down, and nothing
 * is copied, however large we are. All signals are blocked around it: no handler of ours may run in
 * there.
 */
#include "base/launch_here.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STACK_BYTES = 32 * 1024, MOST_CLOSED = 65536 };

#define IN_CHILD __attribute__((no_sanitize("address", "thread", "undefined")))

#ifdef __SANITIZE_THREAD__
/* ThreadSanitizer takes clone for a fork, after which no thread may start. It does not know this
 * name of the same function. */
int __clone(int (*run)(void *), void *stack, int flags, void *data, ...);
#define clone __clone
#endif

static const char default_path[] = "/usr/local/bin:/usr/bin:/bin";

struct birth {
    const struct launch *launch;
    char *const *env;
    const char *path;
    pid_t parent;
    enum launch_stage stage;
    int error; /* negative errno */
};

/* ---- in the child ---- */

IN_CHILD static void reset_dispositions(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL); /* some cannot be changed: they are the default anyway */
}

IN_CHILD void launch_close_from(uint32_t first)
{
    struct rlimit limit;
    if (close_range(first, ~0U, 0) == 0)
        return;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > MOST_CLOSED)
        limit.rlim_cur = MOST_CLOSED;
    for (uint32_t fd = first; fd < limit.rlim_cur; fd++)
        close((int)fd);
}

/* Every source is moved above the places first, so that none is overwritten before it is copied. */
IN_CHILD static bool place_descriptors(const struct launch *launch)
{
    int sources[LAUNCH_MAX_FDS];
    int count = (int)launch->nfds;
    for (int i = 0; i < count; i++) {
        sources[i] = launch->fds[i];
        if (sources[i] < 0 && (sources[i] = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0)
            return false;
        if (sources[i] < count && (sources[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, count)) < 0)
            return false;
    }
    for (int i = 0; i < count; i++)
        if (syscall(SYS_dup3, sources[i], i, 0) <
            0) /* dup2 would tell a sanitizer of the parent's */
            return false;
    launch_close_from(launch->nfds);
    return true;
}

/* Returns when it could not. ENOENT of a file that is there is about its interpreter. */
IN_CHILD static int try_exec(struct birth *birth, const char *path)
{
    execve(path, (char *const *)birth->launch->argv, birth->env);
    int error = errno;
    if (error == ENOENT && access(path, F_OK) == 0) {
        birth->stage = LAUNCH_INTERPRETER;
        return -ELIBACC;
    }
    return -error;
}

IN_CHILD static bool is_worth_another(int error)
{
    return error == -ENOENT || error == -ENOTDIR || error == -EACCES || error == -ESTALE ||
           error == -ENODEV || error == -ETIMEDOUT;
}

/* As execvp: a file that may not be executed counts only when no other is found. */
IN_CHILD static int exec_in_path(struct birth *birth, const char *name)
{
    char path[PATH_MAX];
    size_t name_len = strlen(name);
    int worst = -ENOENT;
    for (const char *at = birth->path;; at++) {
        const char *end = strchrnul(at, ':');
        size_t len = (size_t)(end - at);
        if (len + name_len + 2 <= sizeof(path)) {
            memcpy(path, at, len);
            path[len] = '/';
            memcpy(path + len + (len != 0), name, name_len + 1); /* none: where we are */
            int error = try_exec(birth, path);
            if (!is_worth_another(error))
                return error;
            if (error == -EACCES)
                worst = error;
        }
        if (*end == '\0')
            return worst;
        at = end;
    }
}

IN_CHILD static int run_child(void *data)
{
    struct birth *birth = data;
    const struct launch *launch = birth->launch;
    const char *name = launch->argv[0];
    sigset_t none;
    reset_dispositions();
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != birth->parent) /* it ended before it could be told to take us along */
        _exit(127);
    birth->stage = LAUNCH_DESCRIPTORS;
    if (!place_descriptors(launch))
        goto fail;
    birth->stage = LAUNCH_CWD;
    if (launch->cwd != NULL && chdir(launch->cwd) != 0)
        goto fail;
    birth->stage = LAUNCH_EXEC;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    birth->error = strchr(name, '/') != NULL ? try_exec(birth, name) : exec_in_path(birth, name);
    _exit(127);

fail:
    birth->error = -errno;
    _exit(127);
}

/* ---- in us ---- */

static const char *path_of(char *const *env)
{
    for (; *env != NULL; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return default_path;
}

int launch_here(const struct launch *launch, struct launched *launched)
{
    char stack[STACK_BYTES] __attribute__((aligned(64)));
    char *const *env = launch->env != NULL ? (char *const *)launch->env : environ;
    struct birth birth = {.launch = launch, .env = env, .path = path_of(env), .parent = getpid()};
    sigset_t all, before;
    int pidfd = -1;
    ENSURE(launch->nfds >= 3 && launch->nfds <= LAUNCH_MAX_FDS);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int pid = clone(run_child, stack + sizeof(stack),
                    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &birth, &pidfd);
    int error = pid < 0 ? -errno : birth.error;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    *launched = (struct launched){.pid = pid, .end_fd = pidfd, .stage = birth.stage};
    if (error != 0 && pid > 0) /* it is on its way out */
        launch_reap(launched, -1);
    return error;
}
