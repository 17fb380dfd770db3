#include "server/upgrade.h"

#include "base/buf.h"
#include "base/launch.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PROOF_MS = 60000, LEAVE_MS = 2000, TEXT_MAX = 16 * 1024, PATH_BYTES = 4096 };

static const char proved[] = "the upgrade is proved\n";

struct upgrade {
    struct master_loop *loop;
    struct master_watch output; /* of the proof; at its end we know */
    struct master_timer patience;
    const struct upgrade_events *events;
    void *data;
    char **argv;
    char *binary;  /* the path that we were executed from, whatever lies there now */
    int own_fd;    /* this program, whatever becomes of its file */
    int proved_fd; /* the one that is, or was, tried; -1: none */
    struct stat proved;
    struct launched launched;
    struct buf text; /* what the proof has said */
    bool is_running;
};

/* A binary that has been replaced is "/path/moonloop (deleted)" from then on: asked for at the
 * start, but that may have been a moment too late. */
static char *find_binary(void)
{
    static const char mark[] = " (deleted)";
    char path[PATH_BYTES];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    ssize_t end = len - (ssize_t)(sizeof(mark) - 1);
    path[len > 0 ? len : 0] = '\0';
    if (end > 0 && strcmp(path + end, mark) == 0 && access(path, F_OK) != 0)
        path[end] = '\0';
    return mem_copy_text(path);
}

struct upgrade *upgrade_new(struct master_loop *loop, char **argv, const char *binary,
                            const struct upgrade_events *events, void *data)
{
    struct upgrade *upgrade = MEM_NEW(struct upgrade);
    upgrade->loop = loop;
    upgrade->argv = argv;
    upgrade->events = events;
    upgrade->data = data;
    upgrade->binary = binary != NULL ? mem_copy_text(binary) : find_binary();
    upgrade->own_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    upgrade->proved_fd = -1;
    master_watch_init(&upgrade->output);
    master_timer_init(&upgrade->patience);
    return upgrade;
}

/* By its descriptor, since whoever reaps all children may have reaped it. If not, its number is its
 * own still, and that of the group of what its apps have started. */
static void kill_proof(const struct upgrade *upgrade)
{
    if (syscall(SYS_pidfd_send_signal, upgrade->launched.end_fd, SIGKILL, NULL, 0) == 0)
        launch_signal(&upgrade->launched, SIGKILL);
}

static void end_proof(struct upgrade *upgrade)
{
    int fd = upgrade->output.fd;
    master_watch_stop(upgrade->loop, &upgrade->output);
    master_timer_stop(&upgrade->patience);
    if (fd >= 0)
        close(fd);
    buf_deinit(&upgrade->text);
    upgrade->is_running = false;
}

static void forget_proved(struct upgrade *upgrade)
{
    if (upgrade->proved_fd >= 0)
        close(upgrade->proved_fd);
    upgrade->proved_fd = -1;
}

void upgrade_free(struct upgrade *upgrade)
{
    if (upgrade == NULL)
        return;
    if (upgrade->is_running) {
        kill_proof(upgrade);
        launch_reap(&upgrade->launched, -1);
        end_proof(upgrade);
    }
    forget_proved(upgrade);
    if (upgrade->own_fd >= 0)
        close(upgrade->own_fd);
    free(upgrade->binary);
    free(upgrade);
}

void upgrade_leave(struct upgrade *upgrade)
{
    if (upgrade == NULL)
        return;
    forget_proved(upgrade);
    if (upgrade->own_fd >= 0)
        close(upgrade->own_fd);
    if (!upgrade->is_running)
        return;
    close(upgrade->launched.end_fd);
    end_proof(upgrade);
}

const char *upgrade_binary(const struct upgrade *upgrade)
{
    return upgrade->binary;
}

/* ---- the proof ---- */

/* Its last line says whether it could; the ones before why not. */
static bool has_proved(const struct buf *text)
{
    size_t mark = strlen(proved);
    return text->len >= mark && memcmp(text->ptr + text->len - mark, proved, mark) == 0;
}

static void judge(struct upgrade *upgrade, const char *problem)
{
    struct buf text = upgrade->text;
    upgrade->text = (struct buf){0};
    bool is_proved = problem == NULL && has_proved(&text);
    buf_add_char(&text, '\0');
    size_t len = text.len - 1;
    launch_reap(&upgrade->launched, -1);
    end_proof(upgrade);
    while (len > 0 && text.ptr[len - 1] == '\n')
        text.ptr[--len] = '\0';
    if (is_proved)
        upgrade->events->on_proved(upgrade->data);
    else
        upgrade->events->on_refused(upgrade->data, problem != NULL ? problem
                                                   : len != 0      ? text.ptr
                                                                   : "it ended without a word");
    buf_deinit(&text);
}

static void on_patience(struct master_timer *timer)
{
    struct upgrade *upgrade = LIST_ENTRY(timer, struct upgrade, patience);
    kill_proof(upgrade);
    judge(upgrade, has_proved(&upgrade->text) ? NULL : "it did not load the apps within 60 s");
}

static void on_output(struct master_watch *watch)
{
    struct upgrade *upgrade = LIST_ENTRY(watch, struct upgrade, output);
    char bytes[4096];
    ssize_t len = read(watch->fd, bytes, sizeof(bytes));
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0) {
        kill_proof(upgrade); /* one that has only closed its output would be waited for */
        judge(upgrade, NULL);
        return;
    }
    buf_add(&upgrade->text, bytes, (size_t)len);
    if (upgrade->text.len > TEXT_MAX)
        buf_consume(&upgrade->text, upgrade->text.len - TEXT_MAX);
    if (has_proved(&upgrade->text)) /* what an app has started may hold the pipe for longer */
        master_timer_start(upgrade->loop, &upgrade->patience, LEAVE_MS, on_patience);
}

/* What lies there may be replaced at any moment: this very file is tried, and executed then. */
static int open_binary(struct upgrade *upgrade)
{
    forget_proved(upgrade);
    upgrade->proved_fd = open(upgrade->binary, O_PATH | O_CLOEXEC);
    if (upgrade->proved_fd < 0 || fstat(upgrade->proved_fd, &upgrade->proved) != 0)
        return -errno;
    return S_ISREG(upgrade->proved.st_mode) ? 0 : -EACCES;
}

/* Not even written into since it was tried. */
static bool is_untouched(const struct upgrade *upgrade)
{
    const struct stat *before = &upgrade->proved;
    struct stat now;
    return fstat(upgrade->proved_fd, &now) == 0 && now.st_size == before->st_size &&
           now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

/* The server's words behind ours; `binary` is how the file that was opened is executed. */
static const char **proof_words(const struct upgrade *upgrade, const char *binary)
{
    size_t count = 0;
    while (upgrade->argv[count] != NULL)
        count++;
    const char **words = mem_zeroed((count + 2) * sizeof(*words));
    words[0] = binary;
    words[1] = UPGRADE_PROOF_WORD;
    for (size_t i = 1; i < count; i++)
        words[i + 1] = upgrade->argv[i];
    return words;
}

bool upgrade_start(struct upgrade *upgrade, struct fault *fault)
{
    int ends[2];
    char binary[64];
    if (upgrade->is_running) {
        fault_set(fault, "another one is under way already");
        return false;
    }
    int status = open_binary(upgrade);
    if (status < 0) {
        fault_set(fault, "cannot execute %s: %s", upgrade->binary, strerror(-status));
        return false;
    }
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        fault_set(fault, "cannot try %s: %s", upgrade->binary, strerror(errno));
        return false;
    }
    snprintf(binary, sizeof(binary), "/proc/%d/fd/%d", (int)getpid(), upgrade->proved_fd);
    const char **words = proof_words(upgrade, binary);
    int fds[] = {-1, ends[1], ends[1]};
    struct launch birth = {.argv = words, .fds = fds, .nfds = 3};
    status = launch(&birth, &upgrade->launched);
    free(words);
    close(ends[1]);
    if (status < 0) {
        close(ends[0]);
        fault_set(fault, "cannot execute %s: %s", upgrade->binary, strerror(-status));
        return false;
    }
    upgrade->is_running = true;
    master_watch_start(upgrade->loop, &upgrade->output, ends[0], on_output);
    upgrade->output.fd = ends[0];
    master_timer_start(upgrade->loop, &upgrade->patience, PROOF_MS, on_patience);
    return true;
}

void upgrade_print_proof(void)
{
    fflush(stdout);
    fputs(proved, stderr);
}

int upgrade_execute(const struct upgrade *upgrade)
{
    fflush(NULL);
    if (!is_untouched(upgrade))
        return -ETXTBSY;
    execveat(upgrade->proved_fd, "", upgrade->argv, environ, AT_EMPTY_PATH);
    return -errno;
}

int upgrade_own_fd(const struct upgrade *upgrade)
{
    return upgrade->own_fd;
}
