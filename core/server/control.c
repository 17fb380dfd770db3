#include "server/control.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/payload.h"
#include "server/handover.h"
#include "server/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { REQUEST_BYTES = 512, REQUEST_TIMEOUT_MS = 5000, MAX_CLIENTS = 32, EXIT_MS = 5000 };
enum { ANSWER_OK = 100, ANSWER_REFUSED };

struct control {
    struct master_loop *loop;
    struct master_watch watch;
    struct link clients;
    size_t nclients;
    char *path;
    control_request_fn on_request;
    void *data;
};

char *control_path(const struct config *config)
{
    struct buf path = {0};
    if (config->control != NULL)
        return mem_copy_text(config->control);
    const char *slash = strrchr(config->apps_dir, '/');
    buf_add(&path, config->apps_dir, slash != NULL ? (size_t)(slash - config->apps_dir) : 0);
    buf_add_text(&path, "/.moonloop/control.sock");
    buf_add_char(&path, '\0');
    return path.ptr;
}

/* The address of a path of any length, by way of its directory's descriptor (sun_path has 108
 * bytes). Returns that descriptor, which must be open while the address is used, or -errno. */
static int make_address(const char *path, struct sockaddr_un *addr)
{
    const char *slash = strrchr(path, '/');
    char *dir =
        slash != NULL ? mem_copy_bytes(path, (size_t)(slash - path) + 1) : mem_copy_text(".");
    int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int status = dir_fd < 0 ? -errno : dir_fd;
    free(dir);
    if (status < 0)
        return status;
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    int len = snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/%s", dir_fd,
                       slash != NULL ? slash + 1 : path);
    if ((size_t)len >= sizeof(addr->sun_path)) {
        close(dir_fd);
        return -ENAMETOOLONG;
    }
    return dir_fd;
}

/* A connected socket, or -errno. */
static int connect_to(const char *path)
{
    struct sockaddr_un addr;
    int dir_fd = make_address(path, &addr);
    if (dir_fd < 0)
        return dir_fd;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int status = fd;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        status = -errno;
        close(fd);
    }
    close(dir_fd);
    return status;
}

/* A listening socket at the path, in place of a dead one; -EADDRINUSE when a server answers there.
 */
static int listen_at(const char *path)
{
    struct sockaddr_un addr;
    int other = connect_to(path);
    if (other >= 0) {
        close(other);
        return -EADDRINUSE;
    }
    int dir_fd = make_address(path, &addr);
    if (dir_fd < 0)
        return dir_fd;
    if (other == -ECONNREFUSED)
        unlink(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), status = fd;
    mode_t before = umask(0177);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, 16) != 0) {
        status = -errno;
        if (fd >= 0)
            close(fd);
    }
    umask(before);
    close(dir_fd);
    return status;
}

static void client_free(struct control_client *client)
{
    int fd = client->watch.fd;
    master_watch_stop(client->control->loop, &client->watch);
    master_timer_stop(&client->patience);
    link_remove(&client->link);
    client->control->nclients--;
    close(fd);
    free(client);
}

static void on_patience(struct master_timer *timer)
{
    client_free(LIST_ENTRY(timer, struct control_client, patience));
}

/* Cuts the request into words, in place. */
static void take_request(struct control_client *client, char *text)
{
    const char *words[CONTROL_MAX_WORDS];
    size_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, " \n", &rest); word != NULL && count < CONTROL_MAX_WORDS;
         word = strtok_r(NULL, " \n", &rest)) {
        if (strcmp(word, "json") == 0)
            client->is_json = true;
        else
            words[count++] = word;
    }
    master_timer_stop(&client->patience);
    client->control->on_request(client->control->data, client, words, count);
}

static void on_client_ready(struct master_watch *watch)
{
    struct control_client *client = LIST_ENTRY(watch, struct control_client, watch);
    char text[REQUEST_BYTES];
    ssize_t len = recv(watch->fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0 || !master_timer_is_running(&client->patience)) {
        client_free(client); /* gone, or a second request where one is due */
        return;
    }
    text[len] = '\0';
    take_request(client, text);
}

static bool is_trusted(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void on_connection(struct master_watch *watch)
{
    struct control *control = LIST_ENTRY(watch, struct control, watch);
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (!is_trusted(fd) || control->nclients >= MAX_CLIENTS) {
        close(fd);
        return;
    }
    struct control_client *client = MEM_NEW(struct control_client);
    client->control = control;
    control->nclients++;
    link_append(&control->clients, &client->link);
    master_timer_init(&client->patience);
    master_timer_start(control->loop, &client->patience, REQUEST_TIMEOUT_MS, on_patience);
    master_watch_init(&client->watch);
    client->watch.fd = fd;
    if (master_watch_start(control->loop, &client->watch, fd, on_client_ready) < 0)
        client_free(client);
}

/* Makes the socket's own directory; what is above it has to be there. */
static void make_dir(const char *path)
{
    char *dir = mem_copy_text(path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL && slash != dir) {
        *slash = '\0';
        if (mkdir(dir, 0700) == 0) {
            /* It is no part of anybody's project. */
            int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
            int fd = openat(dir_fd, ".gitignore", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
            if (fd >= 0 && write(fd, "*\n", 2) == 2)
                log_debug("made %s", dir);
            if (fd >= 0)
                close(fd);
            if (dir_fd >= 0)
                close(dir_fd);
        }
    }
    free(dir);
}

/* The same place under a name that only we use. */
static char *own_path(const char *path)
{
    struct buf own = {0};
    buf_printf(&own, "%s.%d", path, (int)getpid());
    buf_add_char(&own, '\0');
    return own.ptr;
}

/* A socket elsewhere than the configuration says now is left, with its file. */
static int take_over(struct handover *handover, const char *path, const char *own)
{
    if (handover == NULL || handover->control_path == NULL)
        return -1;
    int fd = handover->control_fd;
    handover->control_fd = -1;
    if (strcmp(handover->control_path, path) == 0 || strcmp(handover->control_path, own) == 0)
        return fd;
    unlink(handover->control_path);
    close(fd);
    return -1;
}

/* Listens at the path, or else at our own; *path is where. A descriptor, or -errno. */
static int open_at(char **path, char **own)
{
    make_dir(*path);
    int fd = listen_at(*path);
    if (fd != -EADDRINUSE)
        return fd;
    log_warn("another server answers at %s; this one with `MOONLOOP_CONTROL=%s`", *path, *own);
    free(*path);
    *path = *own;
    *own = NULL;
    return listen_at(*path);
}

struct control *control_open(struct master_loop *loop, const struct config *config,
                             struct handover *handover, control_request_fn on_request, void *data,
                             struct fault *fault)
{
    char *path = control_path(config), *own = own_path(path);
    int fd = take_over(handover, path, own);
    if (fd >= 0) {
        free(path);
        path = mem_copy_text(handover->control_path);
    } else {
        fd = open_at(&path, &own);
    }
    free(own);
    if (fd < 0) {
        fault_set(fault, "no control socket at %s: %s", path, strerror(-fd));
        free(path);
        return NULL;
    }
    struct control *control = MEM_NEW(struct control);
    control->loop = loop;
    control->path = path;
    control->on_request = on_request;
    control->data = data;
    link_init(&control->clients);
    master_watch_init(&control->watch);
    master_watch_start(loop, &control->watch, fd, on_connection);
    control->watch.fd = fd;
    return control;
}

void control_hand_over(const struct control *control, struct handover *handover)
{
    if (control == NULL)
        return;
    handover->control_fd = control->watch.fd;
    handover->control_path = mem_copy_text(control->path);
}

void control_unlink(struct control *control)
{
    if (control != NULL)
        unlink(control->path);
}

void control_hold_until_exit(struct control *control)
{
    struct control_client *client = NULL;
    while (control != NULL && (client = control_next(control, client)) != NULL)
        if (client->waits_for_end && fcntl(client->watch.fd, F_DUPFD_CLOEXEC, 3) < 0)
            log_debug("a caller will see the end a little early");
}

void control_close(struct control *control)
{
    if (control == NULL)
        return;
    for (struct link *first; (first = link_take_first(&control->clients)) != NULL;)
        client_free(LIST_ENTRY(first, struct control_client, link));
    int fd = control->watch.fd;
    master_watch_stop(control->loop, &control->watch);
    close(fd);
    free(control->path);
    free(control);
}

struct control_client *control_next(struct control *control, struct control_client *after)
{
    struct link *next = after != NULL ? after->link.next : control->clients.next;
    return next != &control->clients ? LIST_ENTRY(next, struct control_client, link) : NULL;
}

void control_answer(struct control_client *client, bool is_ok, struct str text)
{
    struct note note = {.type = is_ok ? ANSWER_OK : ANSWER_REFUSED, .fd = payload_new(text)};
    note_send(client->watch.fd, &note);
    if (note.fd >= 0)
        close(note.fd);
    if (!client->waits_for_end)
        client_free(client);
}

static void explain_connect(const char *path, int error, struct fault *fault)
{
    if (error == ENOENT || error == ECONNREFUSED)
        fault_set(fault,
                  "no server answers at %s; start one with `moonloop serve`, or say where it "
                  "is with MOONLOOP_APPS or MOONLOOP_CONTROL",
                  path);
    else
        fault_set(fault, "%s: %s", path, strerror(error));
}

/* A descriptor of the process that listens at the other end, or -1. */
static int open_peer(int fd)
{
    struct ucred peer = {0};
    socklen_t length = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.pid <= 0)
        return -1;
    return (int)syscall(SYS_pidfd_open, peer.pid, 0);
}

/* Until the server has closed the connection and is gone: the one comes a moment before the other.
 */
static void await_end(int fd, int peer)
{
    struct pollfd gone = {.fd = peer, .events = POLLIN};
    char byte;
    ssize_t count;
    do
        count = recv(fd, &byte, 1, 0);
    while (count > 0 || (count < 0 && errno == EINTR));
    if (peer >= 0)
        poll(&gone, 1, EXIT_MS);
}

int control_call(const char *path, const char *words, bool wait_for_end, struct buf *answer,
                 struct fault *fault)
{
    struct note note = {.fd = -1};
    char byte;
    int status, fd = connect_to(path);
    if (fd < 0) {
        explain_connect(path, -fd, fault);
        return fd;
    }
    int peer = wait_for_end ? open_peer(fd) : -1;
    if (send(fd, words, strlen(words), MSG_NOSIGNAL) < 0)
        status = -errno;
    else
        while ((status = note_receive(fd, &note)) == -EAGAIN)
            /* The descriptor blocks, note_receive does not: wait by looking at the first byte. */
            if (recv(fd, &byte, 1, MSG_PEEK) < 0 && errno != EINTR)
                break;
    if (status == 1)
        status = note.fd >= 0 ? payload_read(note.fd, answer) : -EBADMSG;
    else
        status = status == 0 ? -ECONNRESET : status;
    if (status < 0)
        fault_set(fault, "%s: the server did not answer: %s", path, strerror(-status));
    if (status == 0 && wait_for_end && note.type == ANSWER_OK)
        await_end(fd, peer);
    if (peer >= 0)
        close(peer);
    if (note.fd >= 0)
        close(note.fd);
    close(fd);
    return status < 0 ? status : note.type != ANSWER_OK;
}
