#include "loop/frame.h"

#include "base/mem.h"
#include "base/passed_fd.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME_MAGIC = 0x6d6c };

/* As it travels. Both ends are the same program on the same machine. */
struct head {
    uint16_t magic;
    uint16_t type;
    uint32_t detail;
    uint64_t number;
    uint64_t len;
};

/* 0 to try again, or why not. */
static int on_error(struct frame_stream *stream, int reason, short events)
{
    if (reason == EINTR)
        return 0;
    if ((reason == EAGAIN || reason == EWOULDBLOCK) && stream->wait != NULL)
        return stream->wait(stream->data, events);
    return reason == EPIPE ? -ECONNRESET : -reason;
}

static void add_fd(struct msghdr *message, void *control, size_t bytes, int fd)
{
    message->msg_control = control;
    message->msg_controllen = bytes;
    struct cmsghdr *item = CMSG_FIRSTHDR(message);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(item), &fd, sizeof(int));
}

/* Past what was sent; true while something is left. */
static bool advance(struct iovec *parts, size_t nparts, size_t sent)
{
    bool is_more = false;
    for (size_t i = 0; i < nparts; i++) {
        size_t taken = sent < parts[i].iov_len ? sent : parts[i].iov_len;
        parts[i].iov_base = (char *)parts[i].iov_base + taken;
        parts[i].iov_len -= taken;
        sent -= taken;
        is_more = is_more || parts[i].iov_len != 0;
    }
    return is_more;
}

int frame_send(struct frame_stream *stream, struct frame frame, const struct str *parts,
               size_t nparts)
{
    struct head head = {FRAME_MAGIC, (uint16_t)frame.type, frame.detail, frame.number, 0};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec pieces[FRAME_MAX_PARTS + 1] = {{&head, sizeof(head)}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = nparts + 1};
    ENSURE(nparts <= FRAME_MAX_PARTS);
    for (size_t i = 0; i < nparts; i++) {
        pieces[i + 1] = (struct iovec){(void *)parts[i].ptr, parts[i].len};
        head.len += parts[i].len;
    }
    if (head.len > FRAME_MAX_BYTES)
        return -EMSGSIZE;
    if (frame.fd >= 0)
        add_fd(&message, control, sizeof(control), frame.fd);
    for (bool is_more = true; is_more;) {
        ssize_t sent = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
        if (sent < 0) {
            int status = on_error(stream, errno, POLLOUT);
            if (status < 0)
                return status;
            continue;
        }
        message.msg_control = NULL;
        message.msg_controllen = 0;
        is_more = advance(pieces, nparts + 1, (size_t)sent);
    }
    return 0;
}

/* All of it. `fd` NULL: descriptors that come along are dropped by the kernel. */
static int receive(struct frame_stream *stream, void *into, size_t len, int *fd)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    size_t got = 0;
    while (got < len) {
        struct iovec part = {(char *)into + got, len - got};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        bool wants_fd = fd != NULL && *fd < 0;
        if (wants_fd) {
            message.msg_control = control;
            message.msg_controllen = sizeof(control);
        }
        ssize_t count = recvmsg(stream->fd, &message, MSG_CMSG_CLOEXEC);
        if (count == 0)
            return -ECONNRESET;
        if (count < 0) {
            int status = on_error(stream, errno, POLLIN);
            if (status < 0)
                return status;
            continue;
        }
        if (wants_fd)
            *fd = passed_fd_take(&message);
        got += (size_t)count;
    }
    return 0;
}

int frame_receive(struct frame_stream *stream, struct frame *frame, enum frame_fds fds)
{
    struct head head;
    frame->fd = -1;
    int status = stream->wait != NULL ? stream->wait(stream->data, POLLIN) : 0;
    if (status >= 0)
        status = receive(stream, &head, sizeof(head), fds == FRAME_WITH_FD ? &frame->fd : NULL);
    if (status == 0 && (head.magic != FRAME_MAGIC || head.type == 0 ||
                        head.type > FRAME_LAST_TYPE || head.len > FRAME_MAX_BYTES))
        status = -EPROTO;
    if (status < 0) {
        if (frame->fd >= 0)
            close(frame->fd);
        frame->fd = -1;
        return status;
    }
    frame->type = head.type;
    frame->detail = head.detail;
    frame->number = head.number;
    frame->len = head.len;
    return 0;
}

int frame_read(struct frame_stream *stream, void *into, size_t len)
{
    return receive(stream, into, len, NULL);
}

int frame_read_body(struct frame_stream *stream, const struct frame *frame, uint64_t max,
                    struct buf *into)
{
    if (frame->len > max)
        return -EPROTO;
    int status = buf_try_reserve(into, (size_t)frame->len);
    if (status == 0)
        status = receive(stream, into->ptr + into->len, (size_t)frame->len, NULL);
    if (status == 0)
        into->len += (size_t)frame->len;
    return status;
}
