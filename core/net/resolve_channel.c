#include "net/resolve_channel.h"

#include "base/mem.h"
#include "loop/uv_loop.h"
#include "net/address.h"
#include "net/resolve_files.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

/* A socket of c-ares. */
struct channel_socket {
    struct link link;
    struct channel *channel;
    uv_poll_t poll;
    ares_socket_t fd;
};

/* ---- the loop ---- */

static void on_socket_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct channel_socket *socket = poll->data;
    struct channel *channel = socket->channel;
    ares_socket_t fd = socket->fd;
    bool can_read = status < 0 || (events & UV_READABLE) != 0;
    bool can_write = status < 0 || (events & UV_WRITABLE) != 0;
    ares_process_fd(channel->ares, can_read ? fd : ARES_SOCKET_BAD,
                    can_write ? fd : ARES_SOCKET_BAD);
    channel->on_progress(channel);
}

static void on_due(struct timer *timer)
{
    struct channel *channel = LIST_ENTRY(timer, struct channel, timer);
    ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    channel->on_progress(channel);
}

static struct channel_socket *socket_of(struct channel *channel, ares_socket_t fd)
{
    for (struct link *at = channel->sockets.next; at != &channel->sockets; at = at->next) {
        struct channel_socket *socket = LIST_ENTRY(at, struct channel_socket, link);
        if (socket->fd == fd)
            return socket;
    }
    return NULL;
}

/* c-ares says what it waits for on a socket; for nothing: the socket is closed after this. */
static void on_socket_state(void *data, ares_socket_t fd, int wants_read, int wants_write)
{
    struct channel *channel = data;
    struct channel_socket *socket = socket_of(channel, fd);
    int events = (wants_read ? UV_READABLE : 0) | (wants_write ? UV_WRITABLE : 0);
    if (events == 0) {
        if (socket == NULL)
            return;
        link_remove(&socket->link);
        uv_poll_stop(&socket->poll);
        uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
        return;
    }
    if (socket == NULL) {
        socket = MEM_NEW(struct channel_socket);
        socket->channel = channel;
        socket->fd = fd;
        ENSURE(uv_poll_init(loop_uv(channel->loop), &socket->poll, fd) == 0);
        socket->poll.data = socket;
        link_append(&channel->sockets, &socket->link);
    }
    ENSURE(uv_poll_start(&socket->poll, events, on_poll) == 0);
}

void channel_go_on(struct channel *channel)
{
    struct timeval buffer, *left = ares_timeout(channel->ares, NULL, &buffer);
    if (left == NULL)
        timer_stop(channel->loop, &channel->timer);
    else
        timer_start(channel->loop, &channel->timer,
                    (uint64_t)left->tv_sec * 1000 + (uint64_t)left->tv_usec / 1000 + 1, on_due);
}

static void on_soon(struct timer *timer)
{
    struct channel *channel = LIST_ENTRY(timer, struct channel, timer);
    channel->on_progress(channel);
}

void channel_progress_soon(struct channel *channel)
{
    timer_start(channel->loop, &channel->timer, 0, on_soon);
}

/* ---- sockets ---- */

static ares_socket_t open_socket(int family, int type, int protocol, void *data)
{
    (void)data;
    return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

static int close_socket(ares_socket_t fd, void *data)
{
    (void)data;
    return close(fd);
}

/* c-ares knows no links: the one of fe80::1%eth0 is put back. */
static int connect_socket(ares_socket_t fd, const struct sockaddr *address, ares_socklen_t len,
                          void *data)
{
    const struct channel *channel = data;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
    for (uint32_t i = 0; i < channel->nservers && address->sa_family == AF_INET6; i++) {
        const struct sockaddr *server = &channel->servers[i].as.base;
        const struct sockaddr_in6 *known = (const struct sockaddr_in6 *)server;
        if (server->sa_family == AF_INET6 && known->sin6_port == six->sin6_port &&
            memcmp(&known->sin6_addr, &six->sin6_addr, sizeof(six->sin6_addr)) == 0)
            return connect(fd, server, sizeof(*known));
    }
    return connect(fd, address, len);
}

/* Of datagrams: they are whole. */
static ares_ssize_t receive(ares_socket_t fd, void *bytes, size_t size, int flags,
                            struct sockaddr *from, ares_socklen_t *from_len, void *data)
{
    ares_ssize_t len = recvfrom(fd, bytes, size, flags, from, from_len);
    if (from != NULL && len >= 12) {
        int code = ((const unsigned char *)bytes)[3] & 15;
        if (code == RCODE_SERVFAIL || code == RCODE_NOTIMP || code == RCODE_REFUSED)
            ((struct channel *)data)->rcode = code;
    }
    return len;
}

static ares_ssize_t send_pieces(ares_socket_t fd, const struct iovec *pieces, int count, void *data)
{
    (void)data;
    return writev(fd, pieces, count);
}

static const struct ares_socket_functions socket_functions = {
    .asocket = open_socket,
    .aclose = close_socket,
    .aconnect = connect_socket,
    .arecvfrom = receive,
    .asendv = send_pieces,
};

/* ---- its life ---- */

static void set_servers(struct channel *channel, const struct channel_options *options)
{
    struct ares_addr_port_node nodes[RESOLVE_SERVERS_MAX];
    channel->nservers = options->nservers;
    for (uint32_t i = 0; i < options->nservers; i++) {
        struct address *server = &channel->servers[i];
        struct ares_addr_port_node *node = &nodes[i];
        *server = options->servers[(i + options->first_server) % options->nservers];
        *node = (struct ares_addr_port_node){.family = server->as.base.sa_family};
        if (node->family == AF_INET) {
            const struct sockaddr_in *four = (const struct sockaddr_in *)&server->as.storage;
            node->addr.addr4 = four->sin_addr;
            node->udp_port = node->tcp_port = ntohs(four->sin_port);
        } else {
            const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&server->as.storage;
            memcpy(&node->addr.addr6, &six->sin6_addr, sizeof(six->sin6_addr));
            node->udp_port = node->tcp_port = ntohs(six->sin6_port);
        }
        node->next = i + 1 < options->nservers ? node + 1 : NULL;
    }
    ENSURE(ares_set_servers_ports(channel->ares, nodes) == ARES_SUCCESS);
}

/* Everything is told, so that c-ares reads no file for it. */
void channel_open(struct channel *channel, struct loop *loop, const struct channel_options *options,
                  void (*on_progress)(struct channel *channel))
{
    struct ares_options all = {
        .timeout = (int)options->timeout_ms,
        .tries = (int)options->tries,
        .ndots = 1,
        .lookups = (char *)"b", /* only read */
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = channel,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
               ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SORTLIST |
               ARES_OPT_NOROTATE | ARES_OPT_SOCK_STATE_CB;
    *channel = (struct channel){.loop = loop, .on_progress = on_progress};
    link_init(&channel->sockets);
    ENSURE(ares_init_options(&channel->ares, &all, mask) == ARES_SUCCESS);
    ares_set_socket_functions(channel->ares, &socket_functions, channel);
    set_servers(channel, options);
}

void channel_close(struct channel *channel)
{
    timer_stop(channel->loop, &channel->timer);
    ares_destroy(channel->ares); /* through on_socket_state */
}
