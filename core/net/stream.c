#include "net/stream.h"

#include "base/ip_address.h"
#include "base/mem.h"
#include "loop/uv_loop.h"
#include "net/loopback.h"
#include "net/stream_state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

enum { SHARED_READ_BYTES = 64 * 1024, MAX_PIECES = 16 };

struct write_request {
    uv_write_t write;
    size_t len;
    char bytes[];
};

/* One read at a time happens on a thread, and its bytes are used up before the next. */
static _Thread_local char shared_read[SHARED_READ_BYTES];

static int family_of(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return -errno;
    return address.ss_family;
}

/* -1: it has none yet, or no more. */
static int fd_of(const struct stream *stream)
{
    int fd;
    return uv_fileno(&stream->uv.handle, &fd) == 0 ? fd : -1;
}

static struct stream *stream_new(struct loop *loop, int family, const struct stream_events *events,
                                 void *owner)
{
    size_t handle_bytes = family == AF_UNIX ? sizeof(uv_pipe_t) : sizeof(uv_tcp_t);
    struct stream *stream = mem_zeroed(offsetof(struct stream, uv) + handle_bytes);
    if (family == AF_UNIX)
        ENSURE(uv_pipe_init(loop_uv(loop), &stream->uv.pipe, 0) == 0);
    else
        ENSURE(uv_tcp_init(loop_uv(loop), &stream->uv.tcp) == 0);
    stream->uv.handle.data = stream;
    stream->fd = -1;
    stream->loop = loop;
    stream->events = events;
    stream->owner = owner;
    return stream;
}

static void on_never_opened(uv_handle_t *handle)
{
    free(handle->data);
}

struct stream *stream_open(struct loop *loop, int fd, const struct stream_events *events,
                           void *owner)
{
    int family = family_of(fd);
    if (family < 0) {
        close(fd);
        return NULL;
    }
    struct stream *stream = stream_new(loop, family, events, owner);
    int status =
        family == AF_UNIX ? uv_pipe_open(&stream->uv.pipe, fd) : uv_tcp_open(&stream->uv.tcp, fd);
    if (status != 0) {
        close(fd);
        uv_close(&stream->uv.handle, on_never_opened);
        return NULL;
    }
    stream->fd = fd;
    return stream;
}

static void on_connected(uv_connect_t *request, int status)
{
    struct stream *stream = request->data;
    free(request);
    stream->is_connecting = false;
    if (!stream->is_closing)
        stream->events->on_connect(stream->owner, status);
}

struct stream *stream_connect(struct loop *loop, const struct sockaddr *address,
                              const struct stream_events *events, void *owner)
{
    struct stream *stream = stream_new(loop, address->sa_family, events, owner);
    uv_connect_t *request = MEM_NEW(uv_connect_t);
    int status = 0;
    request->data = stream;
    stream->is_connecting = true;
    if (address->sa_family == AF_UNIX) {
        const struct sockaddr_un *unix_address = (const struct sockaddr_un *)address;
        uv_pipe_connect(request, &stream->uv.pipe, unix_address->sun_path, on_connected);
    } else {
        status = uv_tcp_connect(request, &stream->uv.tcp, address, on_connected);
        if (status == 0) {
            uv_tcp_nodelay(&stream->uv.tcp, 1);
            loopback_forgo_pacing(fd_of(stream), address);
        }
    }
    stream->fd = fd_of(stream);
    if (status != 0) {
        free(request);
        uv_close(&stream->uv.handle, on_never_opened);
        errno = -status;
        return NULL;
    }
    return stream;
}

void stream_set_owner(struct stream *stream, const struct stream_events *events, void *owner)
{
    stream->events = events;
    stream->owner = owner;
}

#ifdef STRESS
enum {
    STRESS_BYTES = 600, /* of a connection, one by one: more than most heads have */
    STRESS_EVERY = 8,   /* then one byte in so many reads: large bodies have to arrive some time */
};

static bool wants_one_byte(struct stream *stream)
{
    uint32_t count = stream->nreads++;
    return count < STRESS_BYTES || count % STRESS_EVERY == 0;
}
#endif

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct stream *stream = handle->data;
    (void)suggested;
    buf->base = NULL;
    buf->len = 0;
    if (stream->events->on_alloc != NULL && stream->tls == NULL) {
        size_t len = 0;
        stream->events->on_alloc(stream->owner, &buf->base, &len);
        buf->len = len;
    }
    if (buf->len == 0)
        *buf = uv_buf_init(shared_read, sizeof(shared_read));
#ifdef STRESS
    if (wants_one_byte(stream))
        buf->len = 1;
#endif
}

/* libuv takes a reset behind a short read for an orderly end; the kernel still knows better. */
static ssize_t end_of(const struct stream *stream)
{
    char byte;
    int fd;
    bool is_reset = uv_fileno(&stream->uv.handle, &fd) == 0 &&
                    recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno != EAGAIN &&
                    errno != EINTR;
    return is_reset ? -errno : STREAM_EOF;
}

static void on_read(uv_stream_t *base, ssize_t nread, const uv_buf_t *buf)
{
    struct stream *stream = base->data;
    if (nread == 0 || stream->is_closing) /* EAGAIN */
        return;
    if (stream->tls != NULL) {
        if (nread < 0)
            stream_read_raw(stream, false);
        stream_tls_read(stream, buf->base, nread);
        return;
    }
    if (nread < 0) {
        stream->is_reading = false;
        uv_read_stop(base);
        stream->events->on_read(stream->owner, NULL, nread == UV_EOF ? end_of(stream) : nread);
        return;
    }
    stream->events->on_read(stream->owner, buf->base, nread);
}

void stream_feed(struct stream *stream, char *bytes, size_t len)
{
    if (stream->is_closing || len == 0)
        return;
    if (stream->tls != NULL)
        stream_tls_read(stream, bytes, (ssize_t)len);
    else
        stream->events->on_read(stream->owner, bytes, (ssize_t)len);
}

void stream_read_raw(struct stream *stream, bool is_on)
{
    if (stream->is_reading == is_on || stream->is_closing)
        return;
    if (is_on)
        stream->is_reading = uv_read_start(&stream->uv.base, on_alloc, on_read) == 0;
    else
        stream->is_reading = uv_read_stop(&stream->uv.base) != 0;
}

void stream_read_start(struct stream *stream)
{
    if (stream->tls != NULL)
        stream_tls_read_start(stream);
    else
        stream_read_raw(stream, true);
}

void stream_read_stop(struct stream *stream)
{
    if (stream->tls != NULL)
        stream_tls_read_stop(stream);
    else
        stream_read_raw(stream, false);
}

static void finish_shutdown(struct stream *stream)
{
    int fd;
    /* Not uv_shutdown: with the queue empty there is nothing to wait for. */
    if (uv_fileno(&stream->uv.handle, &fd) == 0)
        shutdown(fd, SHUT_WR);
}

static void on_written(uv_write_t *write, int status)
{
    struct write_request *request = (struct write_request *)write;
    struct stream *stream = write->handle->data;
    (void)status; /* a lost connection shows when it is read from */
    stream->queued_bytes -= request->len;
    free(request);
    if (stream->queued_bytes != 0 || stream->is_closing)
        return;
    if (stream->is_shutdown)
        finish_shutdown(stream);
    if (status == 0 && stream->events->on_drain != NULL)
        stream->events->on_drain(stream->owner);
}

/* Copies what the socket did not take: `skip` bytes of the pieces have left already. */
static int queue_rest(struct stream *stream, const struct str *pieces, uint32_t npieces,
                      size_t skip)
{
    size_t total = 0, at = 0;
    for (uint32_t i = 0; i < npieces; i++)
        total += pieces[i].len;
    struct write_request *request = mem_try_grow(NULL, sizeof(*request) + total - skip);
    if (request == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < npieces; i++) {
        size_t dropped = skip < pieces[i].len ? skip : pieces[i].len;
        skip -= dropped;
        memcpy(request->bytes + at, pieces[i].ptr + dropped, pieces[i].len - dropped);
        at += pieces[i].len - dropped;
    }
    request->len = at;
    uv_buf_t buf = uv_buf_init(request->bytes, (unsigned)at);
    int status = uv_write(&request->write, &stream->uv.base, &buf, 1, on_written);
    if (status != 0) {
        free(request);
        return status;
    }
    stream->queued_bytes += at;
    return 0;
}

enum { SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL };

static ssize_t send_several(int fd, const struct str *pieces, uint32_t npieces)
{
    struct iovec vectors[MAX_PIECES];
    for (uint32_t i = 0; i < npieces; i++)
        vectors[i] = (struct iovec){.iov_base = (void *)pieces[i].ptr, .iov_len = pieces[i].len};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = npieces};
    return syscall(SYS_sendmsg, fd, &message, SEND_FLAGS);
}

/* What the socket takes of them at once; 0 when it is full. The system calls are made as they are:
 * libc's are cancellation points, which in a process with threads costs two atomic operations each.
 */
static ssize_t send_pieces(const struct stream *stream, const struct str *pieces, uint32_t npieces)
{
    int fd = stream->fd;
    ssize_t sent;
    do {
        if (npieces == 1)
            sent = syscall(SYS_sendto, fd, pieces[0].ptr, pieces[0].len, SEND_FLAGS, NULL, 0);
        else
            sent = send_several(fd, pieces, npieces);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
}

int stream_write_raw(struct stream *stream, const struct str *pieces, uint32_t npieces)
{
    size_t total = 0;
    ssize_t sent = 0;
    ENSURE(npieces >= 1 && npieces <= MAX_PIECES);
    if (stream->is_closing)
        return -ECANCELED;
    if (stream->queued_bytes == 0 && !stream->is_connecting) {
        sent = send_pieces(stream, pieces, npieces);
        if (sent < 0)
            return (int)sent;
        for (uint32_t i = 0; i < npieces; i++)
            total += pieces[i].len;
        if ((size_t)sent == total)
            return 0;
    }
    return queue_rest(stream, pieces, npieces, (size_t)sent);
}

int stream_write(struct stream *stream, const struct str *pieces, uint32_t npieces)
{
    return stream->tls != NULL ? stream_tls_write(stream, pieces, npieces)
                               : stream_write_raw(stream, pieces, npieces);
}

bool stream_is_quiet(const struct stream *stream)
{
    char byte;
    int fd;
    return uv_fileno(&stream->uv.handle, &fd) == 0 &&
           recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
}

size_t stream_queued_bytes(const struct stream *stream)
{
    return stream->queued_bytes;
}

void stream_shutdown(struct stream *stream)
{
    if (stream->is_shutdown || stream->is_closing)
        return;
    if (stream->tls != NULL)
        stream_tls_say_goodbye(stream);
    stream->is_shutdown = true;
    if (stream->queued_bytes == 0)
        finish_shutdown(stream);
}

static void on_closed(uv_handle_t *handle)
{
    struct stream *stream = handle->data;
    stream->events->on_close(stream->owner);
    stream_tls_free(stream);
    free(stream);
}

void stream_close(struct stream *stream)
{
    if (stream->is_closing)
        return;
    if (stream->tls != NULL)
        stream_tls_say_goodbye(stream);
    stream->is_closing = true;
    stream->is_reading = false;
    uv_close(&stream->uv.handle, on_closed);
}

void stream_reset(struct stream *stream)
{
    struct linger linger = {.l_onoff = 1};
    int fd;
    if (!stream->is_closing && uv_fileno(&stream->uv.handle, &fd) == 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    stream_close(stream);
}

bool stream_peer(const struct stream *stream, struct ip_address *address)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(peer);
    int fd;
    return uv_fileno(&stream->uv.handle, &fd) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
           ip_address_of_socket(address, (struct sockaddr *)&peer);
}

size_t stream_unsent_bytes(const struct stream *stream)
{
    size_t unsent = uv_stream_get_write_queue_size(&stream->uv.base);
    int fd, in_kernel = 0;
    if (uv_fileno(&stream->uv.handle, &fd) == 0 && ioctl(fd, SIOCOUTQ, &in_kernel) == 0)
        unsent += (size_t)in_kernel;
    return unsent;
}
