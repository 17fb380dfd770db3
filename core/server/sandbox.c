#include "server/sandbox.h"

#include "base/helper.h"
#include "base/log.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* What workers and the programs that they have started need. Left out, and so answered ENOSYS as by
 * a kernel that does not know them: mounting and name spaces, modules, tracing and other processes'
 * memory, bpf, perf, keys, io_uring, userfaultfd, swap, clocks, quotas, reboot, terminals of
 * others, raw I/O ports. */
static const char *const allowed[] = {
    /* files and directories */
    "access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup",
    "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod",
    "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr",
    "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futimesat",
    "getcwd", "getdents", "getdents64", "getxattr", "inotify_add_watch", "inotify_init",
    "inotify_init1", "inotify_rm_watch", "ioctl", "lchown", "lgetxattr", "link", "linkat",
    "listxattr", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "memfd_create",
    "mkdir", "mkdirat", "mknod", "mknodat", "newfstatat", "open", "openat", "openat2", "pipe",
    "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead",
    "readlink", "readlinkat", "readv", "removexattr", "rename", "renameat", "renameat2", "rmdir",
    "sendfile", "setxattr", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync",
    "sync_file_range", "syncfs", "tee", "truncate", "umask", "unlink", "unlinkat", "utime",
    "utimensat", "utimes", "vmsplice", "write", "writev",
    /* memory */
    "brk", "cachestat", "get_mempolicy", "madvise", "membarrier", "mincore", "mlock", "mlock2",
    "mlockall", "mmap", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall", "munmap",
    "pkey_alloc", "pkey_free", "pkey_mprotect", "set_mempolicy", "shmat", "shmctl", "shmdt",
    "shmget",
    /* sockets, waiting for them, messages */
    "accept", "accept4", "bind", "connect", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd",
    "eventfd2", "getpeername", "getsockname", "getsockopt", "io_cancel", "io_destroy",
    "io_getevents", "io_pgetevents", "io_setup", "io_submit", "listen", "mq_getsetattr",
    "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget",
    "msgrcv", "msgsnd", "poll", "ppoll", "pselect6", "recvfrom", "recvmmsg", "recvmsg", "select",
    "semctl", "semget", "semop", "semtimedop", "sendmmsg", "sendmsg", "sendto", "setsockopt",
    "shutdown", "socket", "socketpair",
    /* threads, processes, their identity and limits */
    "arch_prctl", "capget", "capset", "clone", "clone3", "execve", "execveat", "exit", "exit_group",
    "fork", "futex", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake", "get_robust_list",
    "get_thread_area", "getcpu", "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp",
    "getpid", "getppid", "getpriority", "getresgid", "getresuid", "getrlimit", "getrusage",
    "getsid", "gettid", "getuid", "ioprio_get", "ioprio_set", "kcmp", "landlock_add_rule",
    "landlock_create_ruleset", "landlock_restrict_self", "personality", "pidfd_open",
    "pidfd_send_signal", "prctl", "prlimit64", "rseq", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
    "sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity", "sched_setattr",
    "sched_setparam", "sched_setscheduler", "sched_yield", "seccomp", "set_robust_list",
    "set_thread_area", "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups", "setpgid",
    "setpriority", "setregid", "setresgid", "setresuid", "setreuid", "setrlimit", "setsid",
    "setuid", "vfork", "wait4", "waitid", "waitpid",
    /* signals and time */
    "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday",
    "kill", "nanosleep", "pause", "restart_syscall", "rt_sigaction", "rt_sigpending",
    "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
    "rt_tgsigqueueinfo", "setitimer", "signalfd", "signalfd4", "sigaltstack", "tgkill", "time",
    "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
    "timerfd_create", "timerfd_gettime", "timerfd_settime", "times", "tkill",
#ifdef __SANITIZE_ADDRESS__
    "ptrace", /* how leaks are looked for */
#endif
    /* the system */
    "getrandom", "sysinfo", "uname"};

/* clone(2) for threads and processes, not for name spaces. clone3 hides its flags behind a pointer:
 * as unknown to the filter, the C library falls back to clone. */
static int allow_clone(scmp_filter_ctx filter)
{
    const scmp_datum_t namespaces = 0x7E020000; /* CLONE_NEWNS ... CLONE_NEWNET, CLONE_NEWCGROUP */
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces, 0));
}

#ifdef __SANITIZE_ADDRESS__
/* CLONE_UNTRACED: how leaks are looked for. */
#define NO_PROCESS_FLAGS (CLONE_THREAD | CLONE_UNTRACED)
#else
#define NO_PROCESS_FLAGS CLONE_THREAD
#endif

static bool is_clone(int number)
{
    return number == SCMP_SYS(clone) || number == SCMP_SYS(clone3);
}

static int allow_programs(scmp_filter_ctx filter)
{
    int status = allow_clone(filter);
    for (size_t i = 0; status == 0 && i < sizeof(allowed) / sizeof(*allowed); i++) {
        int number = seccomp_syscall_resolve_name(allowed[i]);
        /* One that this architecture, or this libseccomp, does not have is no failure. */
        if (number >= 0 && !is_clone(number))
            status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
    }
    return status;
}

/* What starts programs and processes, or becomes somebody: for the helper alone. */
static const char *const denied[] = {
    "execve",   "execveat",  "fork",      "vfork",    "setuid",      "setgid", "setreuid",
    "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid",    "capset", "setgroups",
    "kcmp",     "mknod",     "mknodat",   "acct",     "personality",
};

/* A clone that is no thread is a process. */
static int deny_processes(scmp_filter_ctx filter)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < sizeof(denied) / sizeof(*denied); i++) {
        int number = seccomp_syscall_resolve_name(denied[i]);
        if (number >= 0)
            status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
    }
    if (status == 0)
        status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, NO_PROCESS_FLAGS, 0));
    return status;
}

static bool enter_filter(uint32_t otherwise, int (*fill)(scmp_filter_ctx filter))
{
    scmp_filter_ctx filter = seccomp_init(otherwise);
    if (filter == NULL) {
        errno = ENOMEM;
        return false;
    }
    int status = fill(filter);
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree instead of a list */
    if (status == 0)
        status = seccomp_load(filter);
    seccomp_release(filter);
    errno = -status;
    return status == 0;
}

static bool is_filter_known(void)
{
    /* prctl(2): EFAULT where the kernel has filters, EINVAL where it has not. */
    return prctl(PR_SET_SECCOMP, 2 /* SECCOMP_MODE_FILTER */, NULL, 0, 0) != 0 && errno == EFAULT;
}

/* On: as far as the hard limit lets us, also for a worker that was root before. */
static bool set_core_dumps(bool is_on)
{
    struct rlimit limit = {0, 0};
    if (is_on && getrlimit(RLIMIT_CORE, &limit) != 0)
        return false;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_CORE, &limit) == 0 && (!is_on || prctl(PR_SET_DUMPABLE, 1) == 0);
}

bool sandbox_enter(const struct config *config)
{
    if (!set_core_dumps(config->core_dumps))
        return false;
    if (!config->sandbox)
        return true;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return false;
    if (!is_filter_known()) {
        log_warn("this kernel has no seccomp: workers may call all of it");
        return true;
    }
    if (!enter_filter(SCMP_ACT_ERRNO(ENOSYS), allow_programs))
        return false;
    int status = helper_start();
    errno = -status;
    return status == 0 && sandbox_narrow();
}

bool sandbox_narrow(void)
{
    return enter_filter(SCMP_ACT_ALLOW, deny_processes);
}
