/*
 * The helper itself: one thread that polls. Of each program it has the pidfd, until the program has
 * ended, and the reply socket, until whoever asked has closed it. A program that has ended is
 * reaped only then: so long its id and that of its group are nobody else's.
 */
#include "base/helper.h"

#include "base/buf.h"
#include "base/helper_wire.h"
#include "base/launch_here.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/payload.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_FD = 3, LIFE_FD = 4, OWN_FDS = 5, FIRST_PROGRAM = 2 };

struct program {
    struct link link;
    struct launched launched;
    int reply_fd; /* -1: whoever asked is gone */
    bool has_ended;
};

struct asked {
    struct helper_request request;
    int fds[HELPER_MAX_FDS];
    size_t nfds;
};

static struct link programs = {&programs, &programs};
static uint32_t nprograms;
static pid_t worker;

/* ---- beginning and end ---- */

static void leave(void) __attribute__((noreturn));

static void leave(void)
{
    for (struct link *at = programs.next; at != &programs; at = at->next)
        launch_signal(&LIST_ENTRY(at, struct program, link)->launched, SIGKILL);
    _exit(0);
}

/* Nothing that is sent to all processes of a server ends it before its worker has ended. */
static void ignore_signals(void)
{
    static const int numbers[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGPIPE,
                                  SIGALRM, SIGUSR1, SIGUSR2, SIGXFSZ};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        signal(numbers[i], SIG_IGN);
}

/* What the worker has open is none of ours. */
static void keep_own_descriptors(int request_fd, int life_fd)
{
    request_fd = fcntl(request_fd, F_DUPFD_CLOEXEC, OWN_FDS);
    life_fd = fcntl(life_fd, F_DUPFD_CLOEXEC, OWN_FDS);
    if (request_fd < 0 || life_fd < 0)
        _exit(1);
    dup3(request_fd, REQUEST_FD, O_CLOEXEC);
    dup3(life_fd, LIFE_FD, O_CLOEXEC);
    launch_close_from(OWN_FDS);
}

/* ---- requests ---- */

static bool is_one_of_ours(pid_t pid)
{
    for (struct link *at = programs.next; at != &programs; at = at->next)
        if (LIST_ENTRY(at, struct program, link)->launched.pid == pid)
            return true;
    return pid == worker;
}

/* Descriptors that came are in `asked`, whatever is returned. */
static bool read_control(struct msghdr *message, struct asked *asked)
{
    bool is_good = false;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(message); item != NULL;
         item = CMSG_NXTHDR(message, item)) {
        if (item->cmsg_level != SOL_SOCKET)
            continue;
        if (item->cmsg_type == SCM_RIGHTS) {
            size_t bytes = item->cmsg_len - CMSG_LEN(0);
            ENSURE(bytes <= sizeof(asked->fds));
            memcpy(asked->fds, CMSG_DATA(item), bytes);
            asked->nfds = bytes / sizeof(int);
        } else if (item->cmsg_type == SCM_CREDENTIALS) {
            struct ucred who;
            memcpy(&who, CMSG_DATA(item), sizeof(who));
            is_good = who.uid == geteuid() && is_one_of_ours(who.pid);
        }
    }
    return is_good && (message->msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0;
}

/* Whether it has all that it says. */
static bool is_whole(const struct asked *asked)
{
    const struct helper_request *request = &asked->request;
    uint32_t ngiven = (uint32_t)__builtin_popcount(request->given);
    return request->magic == HELPER_MAGIC && request->nfds >= 3 &&
           request->nfds <= LAUNCH_MAX_FDS && request->given >> request->nfds == 0 &&
           asked->nfds == (request->has_here != 0 ? 3 : 2) + ngiven;
}

/* The next string of the payload; NULL: there is none. */
static const char *take_text(const char **at, const char *end)
{
    const char *text = *at, *nul = text < end ? memchr(text, '\0', (size_t)(end - text)) : NULL;
    if (nul == NULL)
        return NULL;
    *at = nul + 1;
    return text;
}

static const char **take_texts(const char **at, const char *end, uint32_t count)
{
    if (count > (size_t)(end - *at)) /* each has its NUL at least */
        return NULL;
    const char **texts = mem_zeroed((count + 1) * sizeof(*texts));
    for (uint32_t i = 0; i < count; i++)
        if ((texts[i] = take_text(at, end)) == NULL) {
            free(texts);
            return NULL;
        }
    return texts;
}

/* Starts what the words say, with these descriptors. */
static int start(const struct buf *bytes, const int *fds, uint32_t nfds, struct launched *launched)
{
    struct helper_words words;
    int status = -EPROTO;
    if (bytes->len < sizeof(words))
        return status;
    memcpy(&words, bytes->ptr, sizeof(words));
    const char *at = bytes->ptr + sizeof(words), *end = bytes->ptr + bytes->len;
    const char **argv = take_texts(&at, end, words.nargv), **env = NULL;
    if (argv != NULL && words.nargv != 0 && (env = take_texts(&at, end, words.nenv)) != NULL) {
        const char *cwd = words.has_cwd != 0 ? take_text(&at, end) : NULL;
        const struct launch launch = {
            .argv = argv, .env = env, .cwd = cwd, .fds = fds, .nfds = nfds};
        status = launch_here(&launch, launched);
    }
    free(argv);
    free(env);
    return status;
}

static void place(const struct asked *asked, int fds[LAUNCH_MAX_FDS])
{
    size_t next = asked->request.has_here != 0 ? 3 : 2;
    for (uint32_t i = 0; i < asked->request.nfds; i++)
        fds[i] = (asked->request.given >> i & 1) != 0 ? asked->fds[next++] : -1;
}

/* Takes the reply socket over. */
static void answer(const struct asked *asked)
{
    int fds[LAUNCH_MAX_FDS];
    struct buf bytes = {0};
    struct launched launched = {.stage = LAUNCH_HELPER};
    int reply_fd = asked->fds[1];
    place(asked, fds);
    int status = payload_read(asked->fds[0], &bytes);
    if (status == 0 && asked->request.has_here != 0 && fchdir(asked->fds[2]) != 0)
        status = -errno;
    if (status == 0)
        status = start(&bytes, fds, asked->request.nfds, &launched);
    buf_deinit(&bytes);
    const struct helper_answer told = {status, launched.stage, launched.pid};
    send(reply_fd, &told, sizeof(told), MSG_NOSIGNAL | MSG_DONTWAIT); /* or it is gone: see look */
    if (status < 0) {
        close(reply_fd);
        return;
    }
    struct program *program = MEM_NEW(struct program);
    program->launched = launched;
    program->reply_fd = reply_fd;
    link_append(&programs, &program->link);
    nprograms++;
}

static void on_request(void)
{
    struct asked asked = {0};
    _Alignas(struct cmsghdr) char
        control[CMSG_SPACE(HELPER_MAX_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    struct iovec part = {&asked.request, sizeof(asked.request)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    ssize_t count = recvmsg(REQUEST_FD, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (count == 0 && message.msg_controllen == 0)
        leave(); /* nobody is left who could ask; an empty packet says who sent it */
    if (count < 0)
        return;
    bool is_good = read_control(&message, &asked) && count == (ssize_t)sizeof(asked.request) &&
                   is_whole(&asked);
    if (is_good)
        answer(&asked);
    for (size_t i = 0; i < asked.nfds; i++)
        if (i != 1 || !is_good)
            close(asked.fds[i]);
}

/* ---- programs ---- */

static void on_end(struct program *program)
{
    struct launch_end end;
    if (!launch_has_ended(&program->launched, &end))
        return;
    const struct helper_end told = {end.is_known, end.status, end.signal};
    program->has_ended = true;
    if (program->reply_fd >= 0)
        send(program->reply_fd, &told, sizeof(told), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* One that runs still is not wanted any more. */
static void on_release(struct program *program)
{
    close(program->reply_fd);
    program->reply_fd = -1;
    if (!program->has_ended)
        launch_signal(&program->launched, SIGKILL);
}

static void look(struct program *program, bool is_end_near, bool is_reply_closed)
{
    if (is_end_near)
        on_end(program);
    if (is_reply_closed)
        on_release(program);
    if (!program->has_ended || program->reply_fd >= 0)
        return;
    launch_reap(&program->launched, 0);
    link_remove(&program->link);
    nprograms--;
    free(program);
}

static void serve(void)
{
    uint32_t count = nprograms;
    struct pollfd *fds = mem_zeroed((FIRST_PROGRAM + 2 * count) * sizeof(*fds)), *at;
    fds[0] = (struct pollfd){LIFE_FD, POLLIN, 0};
    fds[1] = (struct pollfd){REQUEST_FD, POLLIN, 0};
    at = fds + FIRST_PROGRAM;
    for (struct link *link = programs.next; link != &programs; link = link->next) {
        const struct program *program = LIST_ENTRY(link, struct program, link);
        *at++ = (struct pollfd){program->has_ended ? -1 : program->launched.end_fd, POLLIN, 0};
        *at++ = (struct pollfd){program->reply_fd, POLLIN, 0};
    }
    if (poll(fds, FIRST_PROGRAM + 2 * count, -1) > 0) {
        if (fds[0].revents != 0)
            leave();
        at = fds + FIRST_PROGRAM;
        for (struct link *link = programs.next, *next; link != &programs; link = next, at += 2) {
            next = link->next;
            look(LIST_ENTRY(link, struct program, link), at[0].revents != 0, at[1].revents != 0);
        }
        if (fds[1].revents != 0)
            on_request();
    }
    free(fds);
}

void helper_process_run(int request_fd, int life_fd, int worker_pid)
{
    worker = worker_pid;
    ignore_signals();
    prctl(PR_SET_NAME, "moonloop-helper");
    prctl(PR_SET_DUMPABLE, 0); /* its memory is not the worker's to write */
    keep_own_descriptors(request_fd, life_fd);
    malloc_trim(0); /* what the worker has freed, and goes on to use alone */
    for (;;)
        serve();
}
