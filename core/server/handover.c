#include "server/handover.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/payload.h"
#include "server/retreat.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { RETURN_AFTER_S = 1 };

static const char variable[] =
    "MOONLOOP_INTERNAL_HANDOVER"; /* "DESCRIPTOR:PID:FORMER:FAILURES:CAUSE" */
static const char first_line[] = "moonloop handover 1\n";

/* ---- its parts ---- */

static const char redirect_mark[] = "redirect ";

char *handover_label(const char *bind_text, bool is_redirect)
{
    struct buf label = {0};
    buf_printf(&label, "%s%s", is_redirect ? redirect_mark : "", bind_text);
    buf_add_char(&label, '\0');
    return label.ptr;
}

const char *handover_bind_text(const char *label, bool *is_redirect)
{
    size_t mark_len = sizeof(redirect_mark) - 1;
    *is_redirect = strncmp(label, redirect_mark, mark_len) == 0;
    return *is_redirect ? label + mark_len : label;
}

struct handover *handover_new(void)
{
    struct handover *handover = MEM_NEW(struct handover);
    handover->control_fd = handover->mailbox_fd = -1;
    return handover;
}

void handover_add_socket(struct handover *handover, int slot, int fd, const char *bind)
{
    struct handover_socket socket = {slot, fd, mem_copy_text(bind)};
    buf_add(&handover->sockets, &socket, sizeof(socket));
}

void handover_add_worker(struct handover *handover, const struct handover_worker *worker)
{
    buf_add(&handover->workers, worker, sizeof(*worker));
}

struct handover_socket *handover_socket(const struct handover *handover, uint32_t index)
{
    return (struct handover_socket *)(void *)handover->sockets.ptr + index;
}

uint32_t handover_nsockets(const struct handover *handover)
{
    return (uint32_t)(handover->sockets.len / sizeof(struct handover_socket));
}

struct handover_worker *handover_worker(const struct handover *handover, uint32_t index)
{
    return (struct handover_worker *)(void *)handover->workers.ptr + index;
}

uint32_t handover_nworkers(const struct handover *handover)
{
    return (uint32_t)(handover->workers.len / sizeof(struct handover_worker));
}

void handover_forget(struct handover *handover)
{
    for (uint32_t i = 0; i < handover_nsockets(handover); i++)
        free(handover_socket(handover, i)->bind);
    buf_deinit(&handover->sockets);
    buf_deinit(&handover->workers);
    free(handover->binary);
    free(handover->shared_path);
    free(handover->control_path);
    free(handover);
}

void handover_free(struct handover *handover)
{
    if (handover == NULL)
        return;
    for (uint32_t i = 0; i < handover_nsockets(handover); i++)
        if (handover_socket(handover, i)->fd >= 0)
            close(handover_socket(handover, i)->fd);
    for (uint32_t i = 0; i < handover_nworkers(handover); i++)
        if (handover_worker(handover, i)->fd >= 0)
            close(handover_worker(handover, i)->fd);
    if (handover->control_fd >= 0)
        close(handover->control_fd);
    if (handover->mailbox_fd >= 0)
        close(handover->mailbox_fd);
    handover_forget(handover);
}

/* ---- as text ---- */

void handover_write(const struct handover *handover, struct buf *text)
{
    buf_add_text(text, first_line);
    buf_printf(text, "server %llu %llu %u %u\n", (unsigned long long)handover->started_ms,
               (unsigned long long)handover->generation, handover->configured, handover->wanted);
    if (handover->binary != NULL)
        buf_printf(text, "binary %s\n", handover->binary);
    if (handover->shared_path != NULL)
        buf_printf(text, "shared %s\n", handover->shared_path);
    if (handover->control_path != NULL)
        buf_printf(text, "control %d %s\n", handover->control_fd, handover->control_path);
    if (handover->mailbox_fd >= 0)
        buf_printf(text, "mailbox %d\n", handover->mailbox_fd);
    for (uint32_t i = 0; i < handover_nsockets(handover); i++) {
        const struct handover_socket *socket = handover_socket(handover, i);
        buf_printf(text, "socket %d %d %s\n", socket->slot, socket->fd, socket->bind);
    }
    for (uint32_t i = 0; i < handover_nworkers(handover); i++) {
        const struct handover_worker *worker = handover_worker(handover, i);
        buf_printf(text, "worker %u %d %d %llu %d %d\n", worker->slot, (int)worker->pid, worker->fd,
                   (unsigned long long)worker->started_ms, worker->is_draining, worker->seat);
    }
}

/* Lines of a kind that a later version may add say nothing to us. False: this one is damaged. */
static bool read_line(struct handover *handover, const char *line)
{
    unsigned long long started_ms, generation;
    struct handover_worker worker = {.seat = -1};
    int slot, fd, pid, is_draining, at = 0;
    if (sscanf(line, "server %llu %llu %u %u", &started_ms, &generation, &handover->configured,
               &handover->wanted) == 4) {
        handover->started_ms = started_ms;
        handover->generation = generation;
    } else if (strncmp(line, "binary ", 7) == 0) {
        free(handover->binary);
        handover->binary = mem_copy_text(line + 7);
    } else if (strncmp(line, "shared ", 7) == 0) {
        free(handover->shared_path);
        handover->shared_path = mem_copy_text(line + 7);
    } else if (sscanf(line, "control %d %n", &fd, &at) == 1 && at != 0) {
        free(handover->control_path);
        handover->control_path = mem_copy_text(line + at);
        handover->control_fd = fd;
    } else if (sscanf(line, "mailbox %d", &fd) == 1) {
        handover->mailbox_fd = fd;
    } else if (sscanf(line, "socket %d %d %n", &slot, &fd, &at) == 2 && at != 0) {
        handover_add_socket(handover, slot, fd, line + at);
    } else if (sscanf(line, "worker %u %d %d %llu %d %d", &worker.slot, &pid, &fd, &started_ms,
                      &is_draining, &worker.seat) >= 5) {
        worker.pid = pid;
        worker.fd = fd;
        worker.started_ms = started_ms;
        worker.is_draining = is_draining != 0;
        handover_add_worker(handover, &worker);
    } else {
        return strncmp(line, "server", 6) != 0 && strncmp(line, "socket", 6) != 0 &&
               strncmp(line, "worker", 6) != 0;
    }
    return true;
}

static bool read_text(struct handover *handover, char *text)
{
    size_t begin = strlen(first_line);
    char *rest = NULL;
    bool is_good = strncmp(text, first_line, begin) == 0;
    for (char *line = is_good ? strtok_r(text + begin, "\n", &rest) : NULL; line != NULL && is_good;
         line = strtok_r(NULL, "\n", &rest))
        is_good = read_line(handover, line);
    return is_good && handover->wanted != 0;
}

/* ---- through the exec ---- */

/* Between handover_take and handover_settle: what was found, as it was. */
static struct {
    struct handover_mark mark;
    struct handover *handover; /* NULL: it could not be read */
} kept = {{.text_fd = -1, .former_fd = -1}, NULL};

size_t handover_nfds(const struct handover *handover)
{
    return handover_nsockets(handover) + handover_nworkers(handover) + 2;
}

size_t handover_fds(const struct handover *handover, int *fds)
{
    size_t count = 0;
    for (uint32_t i = 0; i < handover_nsockets(handover); i++)
        fds[count++] = handover_socket(handover, i)->fd;
    for (uint32_t i = 0; i < handover_nworkers(handover); i++)
        fds[count++] = handover_worker(handover, i)->fd;
    if (handover->control_fd >= 0)
        fds[count++] = handover->control_fd;
    if (handover->mailbox_fd >= 0)
        fds[count++] = handover->mailbox_fd;
    return count;
}

/* To be closed on exec, or not. */
static void keep(const struct handover *handover, bool is_kept)
{
    int *fds = mem_zeroed(handover_nfds(handover) * sizeof(*fds));
    size_t count = handover_fds(handover, fds);
    for (size_t i = 0; i < count; i++)
        fcntl(fds[i], F_SETFD, is_kept ? 0 : FD_CLOEXEC);
    free(fds);
}

static void keep_mark(const struct handover_mark *mark, bool is_kept)
{
    fcntl(mark->text_fd, F_SETFD, is_kept ? 0 : FD_CLOEXEC);
    if (mark->former_fd >= 0)
        fcntl(mark->former_fd, F_SETFD, is_kept ? 0 : FD_CLOEXEC);
}

/* The number's digits behind what is there; async-signal-safe, which snprintf is not. */
static char *add_number(char *end, int number)
{
    char digits[12];
    unsigned int left = number < 0 ? 0u - (unsigned int)number : (unsigned int)number;
    int count = 0;
    if (number < 0)
        *end++ = '-';
    do
        digits[count++] = (char)('0' + left % 10);
    while ((left /= 10) != 0);
    while (count > 0)
        *end++ = digits[--count];
    return end;
}

void handover_mark_text(const struct handover_mark *mark, char text[HANDOVER_MARK_BYTES])
{
    const int numbers[] = {mark->text_fd, (int)getpid(), mark->former_fd, mark->failures,
                           mark->cause};
    char *end = text;
    for (const char *name = variable; *name != '\0'; name++)
        *end++ = *name;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        *end++ = i == 0 ? '=' : ':';
        end = add_number(end, numbers[i]);
    }
    *end = '\0';
}

bool handover_is_mark(const char *text)
{
    size_t len = sizeof(variable) - 1;
    return strncmp(text, variable, len) == 0 && text[len] == '=';
}

static void write_mark(const struct handover_mark *mark)
{
    char text[HANDOVER_MARK_BYTES];
    handover_mark_text(mark, text);
    setenv(variable, text + sizeof(variable), 1);
}

bool handover_read_mark(struct handover_mark *mark)
{
    int pid = 0;
    const char *value = getenv(variable);
    *mark = (struct handover_mark){.text_fd = -1, .former_fd = -1};
    return value != NULL &&
           sscanf(value, "%d:%d:%d:%d:%d", &mark->text_fd, &pid, &mark->former_fd, &mark->failures,
                  &mark->cause) >= 2 &&
           pid == (int)getpid() && mark->text_fd >= 0;
}

int handover_leave(const struct handover *handover, int former_fd)
{
    struct buf text = {0};
    handover_write(handover, &text);
    struct handover_mark mark = {.text_fd = payload_new(buf_str(&text)), .former_fd = former_fd};
    buf_deinit(&text);
    if (mark.text_fd < 0)
        return mark.text_fd;
    keep_mark(&mark, true);
    keep(handover, true);
    write_mark(&mark);
    return 0;
}

void handover_withdraw(const struct handover *handover)
{
    struct handover_mark mark;
    if (handover_read_mark(&mark)) {
        keep_mark(&mark, false);
        close(mark.text_fd);
    }
    unsetenv(variable);
    keep(handover, false);
}

/* ---- on the other side ---- */

static struct handover *read_left(int fd, struct fault *fault)
{
    struct buf text = {0};
    struct handover *handover = handover_new();
    int status = payload_read(fd, &text);
    buf_add_char(&text, '\0');
    bool is_good = status == 0 && read_text(handover, text.ptr);
    buf_deinit(&text);
    if (is_good)
        return handover;
    fault_set(fault, "what the server's former program left cannot be read: %s",
              status < 0 ? strerror(-status) : "it is of another version");
    handover_forget(handover);
    return NULL;
}

static bool replace_by_copy(int *fd)
{
    *fd = *fd >= 0 ? fcntl(*fd, F_DUPFD_CLOEXEC, 3) : -1;
    return *fd >= 0;
}

/* So that the descriptors that were left stay, whatever is done with these. */
static bool copy_descriptors(struct handover *handover, struct fault *fault)
{
    bool has_control = handover->control_fd >= 0;
    bool is_good = replace_by_copy(&handover->control_fd) || !has_control;
    replace_by_copy(&handover->mailbox_fd);
    for (uint32_t i = 0; i < handover_nsockets(handover); i++)
        is_good &= replace_by_copy(&handover_socket(handover, i)->fd);
    for (uint32_t i = 0; i < handover_nworkers(handover); i++)
        is_good &= replace_by_copy(&handover_worker(handover, i)->fd);
    if (!is_good)
        fault_set(fault, "what the server's former program left cannot be taken over: %s",
                  strerror(errno));
    return is_good;
}

bool handover_take(struct handover **handover, struct fault *fault)
{
    *handover = NULL;
    if (!handover_read_mark(&kept.mark))
        return true;
    unsetenv(variable);
    if ((kept.handover = read_left(kept.mark.text_fd, fault)) == NULL)
        return false;
    retreat_keep(kept.handover);
    keep(kept.handover, false);
    keep_mark(&kept.mark, false);
    prctl(PR_SET_NAME, "moonloop"); /* one that is executed by descriptor is called by its number */
    struct handover *taken = read_left(kept.mark.text_fd, fault);
    if (taken != NULL && copy_descriptors(taken, fault)) {
        taken->failures = (uint32_t)kept.mark.failures;
        taken->cause = kept.mark.cause;
        *handover = taken;
        return true;
    }
    handover_free(taken);
    return false;
}

void handover_settle(void)
{
    handover_free(kept.handover);
    kept.handover = NULL;
    if (kept.mark.text_fd >= 0)
        close(kept.mark.text_fd);
    kept.mark = (struct handover_mark){.text_fd = -1, .former_fd = -1};
}

bool handover_wait_for_stop(void)
{
    const struct timespec patience = {.tv_sec = RETURN_AFTER_S};
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGQUIT);
    return sigtimedwait(&stops, NULL, &patience) > 0;
}

bool handover_can_return(void)
{
    struct handover_mark mark;
    return kept.mark.text_fd >= 0 || handover_read_mark(&mark);
}

void handover_return(char **argv)
{
    if (kept.mark.text_fd < 0 && !handover_read_mark(&kept.mark))
        return;
    struct handover_mark *mark = &kept.mark;
    log_error("this program cannot go on with the server: %s",
              mark->failures == 0
                  ? "the one before it does, with its workers, which serve meanwhile"
                  : "its workers serve meanwhile, and it is tried again in a second");
    if (mark->failures != 0 && handover_wait_for_stop()) {
        retreat_end();
        return; /* without a master, workers leave */
    }
    mark->failures++;
    mark->cause = 0;
    retreat_enter_directory();
    keep_mark(mark, true);
    if (kept.handover != NULL)
        keep(kept.handover, true);
    write_mark(mark);
    alarm(0); /* the retreat's would outlive the exec */
    if (mark->former_fd >= 0)
        execveat(mark->former_fd, "", argv, environ, AT_EMPTY_PATH);
    execv("/proc/self/exe", argv);
    log_error("the program before this one cannot be executed: %s", strerror(errno));
    retreat_end();
}
