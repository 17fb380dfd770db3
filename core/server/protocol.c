#include "server/protocol.h"

#include "base/passed_fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct wire {
    uint32_t type;
    uint32_t detail;
    uint64_t number;
};

union fd_control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int note_send(int socket_fd, const struct note *note)
{
    struct wire wire = {note->type, note->detail, note->number};
    struct iovec part = {&wire, sizeof(wire)};
    union fd_control control = {0};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    if (note->fd >= 0) {
        head.msg_control = &control;
        head.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *first = CMSG_FIRSTHDR(&head);
        *first = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(first), &note->fd, sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(socket_fd, &head, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

int note_receive(int socket_fd, struct note *note)
{
    struct wire wire;
    struct iovec part = {&wire, sizeof(wire)};
    union fd_control control;
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = &control,
                          .msg_controllen = sizeof(control.bytes)};
    ssize_t got;
    do
        got = recvmsg(socket_fd, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return -EAGAIN;
    int fd = got >= 0 ? passed_fd_take(&head) : -1;
    if (got == (ssize_t)sizeof(wire)) {
        *note = (struct note){wire.type, wire.detail, wire.number, fd};
        return 1;
    }
    if (fd >= 0)
        close(fd);
    return 0; /* closed, reset, or not one of ours */
}
