#include "base/helper.h"

#include "base/buf.h"
#include "base/exit_status.h"
#include "base/helper_wire.h"
#include "base/payload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Set once, before there are threads. */
static struct {
    int request_fd;
    int life_fd; /* closes with the other side */
    pid_t pid;
} helper = {-1, -1, 0};

/* ---- life ---- */

static void close_pair(const int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
}

int helper_start(void)
{
    int requests[2] = {-1, -1}, life[2] = {-1, -1}, on = 1;
    pid_t worker_pid = getpid(), pid = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, requests) == 0 &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life) == 0 &&
        setsockopt(requests[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0)
        pid = fork();
    if (pid < 0) {
        int error = errno;
        close_pair(requests);
        close_pair(life);
        return -error;
    }
    if (pid == 0)
        helper_process_run(requests[1], life[1], worker_pid);
    close(requests[1]);
    close(life[1]);
    helper.request_fd = requests[0];
    helper.life_fd = life[0];
    helper.pid = pid;
    return 0;
}

bool helper_adopt(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_SEQPACKET)
        return false;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    helper.request_fd = fd;
    return true;
}

bool helper_is_there(void)
{
    return helper.request_fd >= 0;
}

int helper_fd(void)
{
    return helper.request_fd;
}

int helper_end_fd(void)
{
    return helper.life_fd;
}

void helper_describe_end(char *text, size_t bytes)
{
    int status = 0;
    pid_t pid;
    do
        pid = waitpid(helper.pid, &status, 0); /* it has closed all: it is about to be over */
    while (pid < 0 && errno == EINTR);
    if (pid == helper.pid)
        exit_describe(status, text, bytes);
    else
        snprintf(text, bytes, "gone");
}

/* ---- asking ---- */

static uint32_t count_texts(const char *const *texts)
{
    uint32_t count = 0;
    while (texts[count] != NULL)
        count++;
    return count;
}

static void add_texts(struct buf *bytes, const char *const *texts)
{
    for (; *texts != NULL; texts++)
        buf_add(bytes, *texts, strlen(*texts) + 1);
}

/* A payload, or -errno. */
static int pack_words(const struct launch *launch)
{
    const char *const *env = launch->env != NULL ? launch->env : (const char *const *)environ;
    const struct helper_words words = {
        .nargv = count_texts(launch->argv),
        .nenv = count_texts(env),
        .has_cwd = launch->cwd != NULL,
    };
    struct buf bytes = {0};
    buf_add(&bytes, &words, sizeof(words));
    add_texts(&bytes, launch->argv);
    add_texts(&bytes, env);
    if (launch->cwd != NULL)
        buf_add(&bytes, launch->cwd, strlen(launch->cwd) + 1);
    int fd = bytes.len <= PAYLOAD_MAX_BYTES ? payload_new(buf_str(&bytes)) : -E2BIG;
    buf_deinit(&bytes);
    return fd;
}

/* 0 or -errno. */
static int send_request(const struct launch *launch, int words_fd, int reply_fd, int here_fd)
{
    struct helper_request request = {HELPER_MAGIC, launch->nfds, 0, here_fd >= 0};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(HELPER_MAX_FDS * sizeof(int))] = {0};
    int fds[HELPER_MAX_FDS] = {words_fd, reply_fd, here_fd};
    size_t count = here_fd >= 0 ? 3 : 2;
    for (uint32_t i = 0; i < launch->nfds; i++)
        if (launch->fds[i] >= 0) {
            request.given |= 1u << i;
            fds[count++] = launch->fds[i];
        }
    struct iovec part = {&request, sizeof(request)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *item = CMSG_FIRSTHDR(&message);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(item), fds, count * sizeof(int));
    ssize_t sent;
    do
        sent = sendmsg(helper.request_fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

int helper_ask(const struct launch *launch, struct launched *launched)
{
    enum launch_stage stage = LAUNCH_DESCRIPTORS;
    int pair[2] = {-1, -1};
    int here_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC); /* -1: it cannot be used anyway */
    int words_fd = pack_words(launch);
    int status = words_fd < 0 ? words_fd : 0;
    if (status == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        status = -errno;
    if (status == 0 && (status = send_request(launch, words_fd, pair[1], here_fd)) < 0)
        stage = LAUNCH_HELPER;
    if (pair[1] >= 0)
        close(pair[1]);
    if (words_fd >= 0)
        close(words_fd);
    if (here_fd >= 0)
        close(here_fd);
    if (status < 0 && pair[0] >= 0)
        close(pair[0]);
    *launched = (struct launched){
        .pid = status < 0 ? -1 : 0,
        .end_fd = status < 0 ? -1 : pair[0],
        .stage = stage,
        .by_helper = true,
    };
    return status;
}

int helper_take_answer(struct launched *launched)
{
    struct helper_answer answer = {.stage = LAUNCH_HELPER};
    ssize_t count = recv(launched->end_fd, &answer, sizeof(answer), MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return 1;
    if (count != (ssize_t)sizeof(answer)) /* it has ended, or could not take the request */
        answer = (struct helper_answer){.status = count < 0 ? -errno : -ECONNRESET,
                                        .stage = LAUNCH_HELPER};
    launched->stage = (enum launch_stage)answer.stage;
    launched->pid = answer.status < 0 ? -1 : answer.pid;
    if (answer.status < 0) {
        close(launched->end_fd);
        launched->end_fd = -1;
    }
    return answer.status;
}

bool helper_has_ended(const struct launched *launched, struct launch_end *end)
{
    struct helper_end told;
    *end = (struct launch_end){.status = -1};
    ssize_t count = recv(launched->end_fd, &told, sizeof(told), MSG_PEEK | MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (count == (ssize_t)sizeof(told))
        *end = (struct launch_end){told.is_known != 0, told.status, told.signal};
    return true; /* without a word: the helper was killed, and so was the program */
}
