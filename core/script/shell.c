/*
 * shell.c - system(3), popen(3) and pclose(3) for a process that may start no programs itself: what
 * os.execute and io.popen call. They take the place of the C library's, which are called where
 * there is no helper (base/helper.h).
 *
 * As there, but for this: the shell has a process group of its own, and is killed with the process
 * that started it.
 */
#include "base/helper.h"
#include "base/launch.h"
#include "base/list.h"
#include "base/mem.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct shell {
    struct link link;
    FILE *file;
    struct launched launched;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct link shells = {&shells, &shells};

/* The C library's own function of this name, into `*function`. */
static void find_real(const char *name, void *function)
{
    void *found = dlsym(RTLD_NEXT, name);
    ENSURE(found != NULL);
    memcpy(function, &found, sizeof(found));
}

/* 0 or -errno. */
static int start(const char *command, int in, int out, struct launched *launched)
{
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    const int fds[] = {in, out, STDERR_FILENO};
    const struct launch launching = {.argv = argv, .fds = fds, .nfds = 3};
    return launch(&launching, launched);
}

/* Its wait status; -1 with ECHILD when nobody knows. */
static int wait_for_end(struct launched *launched)
{
    struct launch_end end;
    struct pollfd ended = {.fd = launched->end_fd, .events = POLLIN};
    while (poll(&ended, 1, -1) < 0 && errno == EINTR)
        ;
    bool is_known = launch_has_ended(launched, &end) && end.is_known;
    launch_reap(launched, 0);
    if (is_known)
        return end.signal != 0 ? W_EXITCODE(0, end.signal) : W_EXITCODE(end.status, 0);
    errno = ECHILD;
    return -1;
}

int system(const char *command)
{
    int (*real)(const char *);
    struct launched launched;
    if (!helper_is_there()) {
        find_real("system", &real);
        return real(command);
    }
    if (command == NULL) /* whether there is a shell */
        return 1;
    int status = start(command, STDIN_FILENO, STDOUT_FILENO, &launched);
    if (status == 0)
        return wait_for_end(&launched);
    errno = -status;
    return -1;
}

/* Takes `fd` over. */
static FILE *remember(int fd, const char *mode, const struct launched *launched)
{
    struct shell *shell = MEM_NEW(struct shell);
    shell->launched = *launched;
    shell->file = fdopen(fd, mode);
    ENSURE(shell->file != NULL);
    pthread_mutex_lock(&lock);
    link_append(&shells, &shell->link);
    pthread_mutex_unlock(&lock);
    return shell->file;
}

FILE *popen(const char *command, const char *modes)
{
    FILE *(*real)(const char *, const char *);
    struct launched launched;
    bool is_reading = *modes == 'r';
    int ends[2];
    if (!helper_is_there()) {
        find_real("popen", &real);
        return real(command, modes);
    }
    if ((!is_reading && *modes != 'w') || strchr("be", modes[1]) == NULL) {
        errno = EINVAL;
        return NULL;
    }
    if (pipe2(ends, O_CLOEXEC) != 0)
        return NULL;
    int status = is_reading ? start(command, STDIN_FILENO, ends[1], &launched)
                            : start(command, ends[0], STDOUT_FILENO, &launched);
    close(ends[is_reading ? 1 : 0]);
    if (status == 0)
        return remember(ends[is_reading ? 0 : 1], is_reading ? "r" : "w", &launched);
    close(ends[is_reading ? 0 : 1]);
    errno = -status;
    return NULL;
}

static struct shell *take(const FILE *file)
{
    struct shell *found = NULL;
    pthread_mutex_lock(&lock);
    for (struct link *at = shells.next; at != &shells && found == NULL; at = at->next)
        if (LIST_ENTRY(at, struct shell, link)->file == file)
            found = LIST_ENTRY(at, struct shell, link);
    if (found != NULL)
        link_remove(&found->link);
    pthread_mutex_unlock(&lock);
    return found;
}

int pclose(FILE *stream)
{
    int (*real)(FILE *);
    struct shell *shell = take(stream);
    if (shell == NULL) {
        find_real("pclose", &real);
        return real(stream);
    }
    fclose(stream);
    int status = wait_for_end(&shell->launched);
    free(shell);
    return status;
}
