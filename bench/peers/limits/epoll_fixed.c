/*
 * epoll_fixed.c - the least a server can do: epoll, read, count request ends, write a constant.
 *
 * A request ends at the first empty line; bodies and headers are not looked at. All the answers to
 * one read leave in one write, so pipelining costs what it must. One thread, until SIGTERM.
 *
 *     limit-epoll PORT
 */
#include "answer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 65536, MAX_EVENTS = 256, MAX_FDS = 16384, MAX_ANSWERS = READ_BYTES / 16 };

static const char ANSWER[] = ANSWER_HELLO;
static const size_t ANSWER_LEN = sizeof(ANSWER) - 1;

static char answers[MAX_ANSWERS * (sizeof(ANSWER) - 1)];
static uint8_t matched[MAX_FDS]; /* bytes of "\r\n\r\n" already seen, per file descriptor */

static int fail(const char *step)
{
    fprintf(stderr, "limit-epoll: %s: %s\n", step, strerror(errno));
    return 1;
}

static int open_listener(int port)
{
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1024) < 0)
        return -1;
    return fd;
}

static void accept_all(int epoll, int listener)
{
    for (;;) {
        int on = 1;
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if (fd >= MAX_FDS) {
            close(fd);
            continue;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        matched[fd] = 0;
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
            close(fd);
    }
}

static size_t count_requests(int fd, const char *bytes, size_t len)
{
    static const char END[] = "\r\n\r\n";
    size_t count = 0;
    uint8_t seen = matched[fd];
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == END[seen])
            seen++;
        else
            seen = bytes[i] == '\r';
        if (seen == 4) {
            count++;
            seen = 0;
        }
    }
    matched[fd] = seen;
    return count;
}

/* False when the connection is over, or when the client reads slower than it asks. */
static bool serve(int fd)
{
    char bytes[READ_BYTES];
    ssize_t len = read(fd, bytes, sizeof(bytes));
    if (len <= 0)
        return len < 0 && errno == EAGAIN;
    size_t size = count_requests(fd, bytes, (size_t)len) * ANSWER_LEN;
    return size == 0 || write(fd, answers, size) == (ssize_t)size;
}

int main(int argc, char **argv)
{
    int listener = argc == 2 ? open_listener(atoi(argv[1])) : -1;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0 || epoll < 0)
        return fail("usage: limit-epoll PORT; listen");
    for (size_t i = 0; i < MAX_ANSWERS; i++)
        memcpy(answers + i * ANSWER_LEN, ANSWER, ANSWER_LEN);

    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
        return fail("epoll_ctl");
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_all(epoll, listener);
            else if (!serve(fd))
                close(fd);
        }
    }
}
