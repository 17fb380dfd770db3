#include "server/protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAYLOAD_MAX_BYTES = 64 * 1024 * 1024 };

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
    if (got != (ssize_t)sizeof(wire))
        return 0; /* closed, reset, or not one of ours */
    *note = (struct note){wire.type, wire.detail, wire.number, -1};
    struct cmsghdr *first = CMSG_FIRSTHDR(&head);
    if (first != NULL && first->cmsg_type == SCM_RIGHTS)
        memcpy(&note->fd, CMSG_DATA(first), sizeof(int));
    return 1;
}

int payload_new(struct str bytes)
{
    int fd = memfd_create("payload", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.ptr, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            int status = -errno;
            close(fd);
            return status;
        }
        bytes.ptr += written;
        bytes.len -= (size_t)written;
    }
    return fd;
}

int payload_read(int fd, struct buf *bytes)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return -errno;
    if (info.st_size > PAYLOAD_MAX_BYTES)
        return -EFBIG;
    buf_reserve(bytes, (size_t)info.st_size + 1);
    size_t end = bytes->len + (size_t)info.st_size, start = bytes->len;
    while (bytes->len < end) {
        ssize_t got =
            pread(fd, bytes->ptr + bytes->len, end - bytes->len, (off_t)(bytes->len - start));
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return -EIO;
        if (got > 0)
            bytes->len += (size_t)got;
    }
    return 0;
}
