#include "server/background.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct background {
    int fd;
};

/* The parent: repeats what the child says. An end without a word is a crash. */
static void wait_for_child(int fd) __attribute__((noreturn));

static void wait_for_child(int fd)
{
    char text[FAULT_TEXT_BYTES];
    ssize_t len;
    do
        len = read(fd, text, sizeof(text));
    while (len < 0 && errno == EINTR);
    if (len == 1 && *text == '\n')
        _exit(0);
    fprintf(stderr, "moonloop: %.*s\n", len > 0 ? (int)len : 22,
            len > 0 ? text : "ended while it started");
    _exit(1);
}

struct background *background_enter(struct fault *fault)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0) {
        fault_set(fault, "daemon: %s", strerror(errno));
        return NULL;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        fault_set(fault, "daemon: %s", strerror(errno));
        close(pair[0]);
        close(pair[1]);
        return NULL;
    }
    if (pid > 0) {
        close(pair[1]);
        wait_for_child(pair[0]);
    }
    close(pair[0]);
    setsid();
    struct background *background = MEM_NEW(struct background);
    background->fd = pair[1];
    return background;
}

void background_leave(struct background *background)
{
    if (background == NULL)
        return;
    close(background->fd);
    free(background);
}

void background_tell(struct background *background, const char *problem)
{
    if (background == NULL)
        return;
    const char *text = problem != NULL ? problem : "\n";
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; problem == NULL && fd <= 2 && null_fd >= 0; fd++)
        dup2(null_fd, fd);
    if (null_fd >= 0)
        close(null_fd);
    if (write(background->fd, text, strlen(text)) < 0 && problem != NULL)
        fprintf(stderr, "moonloop: %s\n", problem); /* the parent was killed */
    close(background->fd);
    free(background);
}

static long read_pid(const char *path)
{
    long pid = 0;
    FILE *file = fopen(path, "re");
    if (file != NULL && fscanf(file, "%ld", &pid) != 1)
        pid = 0;
    if (file != NULL)
        fclose(file);
    return pid;
}

static bool is_anothers(const char *path, long other, long pid, struct fault *fault)
{
    bool is_alive = other > 0 && (kill((pid_t)other, 0) == 0 || errno == EPERM);
    if (!is_alive || other == pid)
        return false;
    fault_set(fault, "pidfile: %s belongs to a running process, %ld: stop it, or remove the file",
              path, other);
    return true;
}

/* Whole or not at all, for whoever reads it at any moment. No text: only whether it could be. */
static bool write_aside(const char *path, const char *text, struct fault *fault)
{
    struct buf temporary = {0};
    buf_printf(&temporary, "%s.%d", path, (int)getpid());
    buf_add_char(&temporary, '\0');
    FILE *file = fopen(temporary.ptr, "we");
    bool is_written = file != NULL && fputs(text, file) >= 0;
    is_written = file != NULL && fclose(file) == 0 && is_written;
    is_written =
        is_written && (*text == '\0' ? unlink(temporary.ptr) : rename(temporary.ptr, path)) == 0;
    if (!is_written) {
        fault_set(fault, "pidfile: cannot write %s: %s", path, strerror(errno));
        unlink(temporary.ptr);
    }
    buf_deinit(&temporary);
    return is_written;
}

bool pidfile_is_free(const char *path, pid_t pid, struct fault *fault)
{
    long owner = read_pid(path);
    return owner == (long)pid ||
           (!is_anothers(path, owner, (long)pid, fault) && write_aside(path, "", fault));
}

/* After an upgrade it is there, and the disk may be full. */
bool pidfile_write(const char *path, struct fault *fault)
{
    char text[24];
    long owner = read_pid(path), pid = (long)getpid();
    snprintf(text, sizeof(text), "%ld\n", pid);
    return owner == pid ||
           (!is_anothers(path, owner, pid, fault) && write_aside(path, text, fault));
}

void pidfile_remove(const char *path)
{
    if (path != NULL && read_pid(path) == (long)getpid())
        unlink(path);
}
