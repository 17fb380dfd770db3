#include "server/listen_sockets.h"

#include "base/mem.h"
#include "base/str.h"
#include "http/server.h"
#include "net/host_address.h"
#include "net/loopback.h"
#include "server/handover.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, URL_BYTES = 192, MAX_SOCKETS = 2 * CONFIG_MAX_BINDS };

struct bind_address {
    const char *text; /* as configured, without "proxy+"; borrowed from the config */
    char *label;      /* for a handover: as configured, and whether it only redirects */
    struct sockaddr_storage addr;
    socklen_t addr_len;
    uint8_t service; /* enum http_service, perhaps with HTTP_EXPECTS_PROXY */
    int shared_fd;   /* -1: one socket per slot */
    char *unix_path; /* ours to remove */
    char url[URL_BYTES];
    char reachable_url[URL_BYTES]; /* "" unless it is a bind to every address */
};

struct listen_sockets {
    struct bind_address binds[MAX_SOCKETS];
    uint8_t services[MAX_SOCKETS];
    uint32_t nbinds;
    uint32_t nslots;
    int fds[CONFIG_MAX_WORKERS][MAX_SOCKETS];
    struct handover *handover; /* while they are opened; NULL: none */
};

/* What went wrong with a bind, and what the user can do about it. */
static void explain(struct fault *fault, const char *bind_text, int error)
{
    switch (error) {
    case EADDRINUSE:
        fault_set(fault, "%s is in use by another program: stop it, or choose another with --bind",
                  bind_text);
        break;
    case EACCES:
    case EPERM:
        fault_set(fault,
                  "no permission to listen on %s: ports below 1024 need root or "
                  "CAP_NET_BIND_SERVICE; choose another with --bind",
                  bind_text);
        break;
    case EADDRNOTAVAIL:
        fault_set(fault,
                  "this machine has no address %s: choose another with --bind (0.0.0.0:PORT "
                  "is every address)",
                  bind_text);
        break;
    case EMFILE:
    case ENFILE:
        fault_set(fault,
                  "too few file descriptors to listen on %s: raise `ulimit -n`, or use fewer "
                  "--workers",
                  bind_text);
        break;
    default:
        fault_set(fault, "cannot listen on %s: %s", bind_text, strerror(error));
    }
}

/* "HOST:PORT", "[IPV6]:PORT", ":PORT", "PORT". */
static bool split_host_port(const char *text, char *host, size_t host_bytes, char *port,
                            size_t port_bytes)
{
    const char *colon = strrchr(text, ':');
    const char *digits = colon != NULL ? colon + 1 : text;
    size_t host_len = colon != NULL ? (size_t)(colon - text) : 0;
    if (host_len >= 2 && text[0] == '[' && text[host_len - 1] == ']') {
        text++;
        host_len -= 2;
    } else if (memchr(text, ':', host_len) != NULL) {
        return false; /* an IPv6 address without brackets */
    }
    uint64_t number;
    if (!str_to_u64(str_of(digits), &number) || number > 65535 || host_len >= host_bytes)
        return false;
    snprintf(port, port_bytes, "%u", (unsigned)number);
    memcpy(host, text, host_len);
    host[host_len] = '\0';
    if (strcmp(host, "*") == 0)
        *host = '\0';
    return true;
}

static bool resolve(struct bind_address *bind_address, struct fault *fault)
{
    char host[256], port[8];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (!split_host_port(bind_address->text, host, sizeof(host), port, sizeof(port))) {
        fault_set(fault,
                  "bind: cannot read \"%s\": expected HOST:PORT, [IPV6]:PORT, unix:PATH or "
                  "fd://N",
                  bind_address->text);
        return false;
    }
    if (*host == '\0')
        hints.ai_family = AF_INET;
    int status = getaddrinfo(*host != '\0' ? host : NULL, port, &hints, &found);
    if (status != 0) {
        fault_set(fault, "bind: cannot find the address of \"%s\": %s", host, gai_strerror(status));
        return false;
    }
    struct addrinfo *best = found; /* of "localhost", the IPv4 address: what most clients try */
    for (struct addrinfo *each = best->ai_next; each != NULL; each = each->ai_next)
        if (each->ai_family == AF_INET && best->ai_family != AF_INET)
            best = each;
    memcpy(&bind_address->addr, best->ai_addr, best->ai_addrlen);
    bind_address->addr_len = best->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

/* A descriptor that listens, or -errno. */
static int open_tcp(const struct bind_address *bind_address, bool is_reuseport)
{
    const int on = 1;
    const struct sockaddr *addr = (const struct sockaddr *)&bind_address->addr;
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    loopback_forgo_pacing(fd, addr);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (!is_reuseport || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
        bind(fd, addr, bind_address->addr_len) == 0 && (!is_reuseport || listen(fd, BACKLOG) == 0))
        return fd;
    int status = -errno;
    close(fd);
    return status;
}

static uint16_t *port_of(struct sockaddr_storage *addr)
{
    return addr->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)addr)->sin6_port
                                       : &((struct sockaddr_in *)addr)->sin_port;
}

static bool is_every_address(const struct sockaddr_storage *addr)
{
    if (addr->ss_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)addr)->sin6_addr);
    return ((const struct sockaddr_in *)addr)->sin_addr.s_addr == htonl(INADDR_ANY);
}

static void make_tcp_urls(struct bind_address *bind_address)
{
    char host[INET6_ADDRSTRLEN], reachable[HOST_ADDRESS_BYTES];
    int family = bind_address->addr.ss_family;
    const char *format = family == AF_INET6 ? "%s://[%s]:%u" : "%s://%s:%u";
    bool has_tls = (bind_address->service & ~HTTP_EXPECTS_PROXY) == HTTP_SERVES_TLS;
    const char *scheme = has_tls ? "https" : "http";
    unsigned port = ntohs(*port_of(&bind_address->addr));
    getnameinfo((struct sockaddr *)&bind_address->addr, bind_address->addr_len, host, sizeof(host),
                NULL, 0, NI_NUMERICHOST);
    snprintf(bind_address->url, URL_BYTES, format, scheme, host, port);
    if (is_every_address(&bind_address->addr)) {
        host_address(family, reachable);
        snprintf(bind_address->reachable_url, URL_BYTES, format, scheme, reachable, port);
    }
}

/* SO_REUSEPORT would let a second server of the same user share the port silently; so a socket
 * without it has to succeed first. Port 0 gets its number here. */
static int claim_tcp(struct bind_address *bind_address, struct fault *fault)
{
    if (!resolve(bind_address, fault))
        return -EINVAL;
    int fd = open_tcp(bind_address, false);
    if (fd < 0) {
        explain(fault, bind_address->text, -fd);
        return fd;
    }
    if (*port_of(&bind_address->addr) == 0) {
        /* Nobody else is given a free port that we hold, so it is ours until the close. */
        socklen_t len = sizeof(bind_address->addr);
        getsockname(fd, (struct sockaddr *)&bind_address->addr, &len);
    }
    close(fd);
    make_tcp_urls(bind_address);
    return 0;
}

/* A socket file that nobody listens on is what a killed server left behind. */
static bool is_stale(const struct sockaddr_un *addr)
{
    struct stat info;
    if (lstat(addr->sun_path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_refused = fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0 &&
                      errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return is_refused;
}

static int claim_unix(struct bind_address *bind_address, const char *path, struct fault *fault)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(addr.sun_path)) {
        fault_set(fault, "bind: %s: the path of a Unix socket has 1 to %zu bytes",
                  bind_address->text, sizeof(addr.sun_path) - 1);
        return -EINVAL;
    }
    bool is_abstract = *path == '@'; /* has no place in the file system (unix(7)) */
    socklen_t addr_len = sizeof(addr);
    memcpy(addr.sun_path, path, len);
    if (is_abstract) {
        addr.sun_path[0] = '\0';
        addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    } else if (is_stale(&addr)) {
        unlink(path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, addr_len) != 0 || listen(fd, BACKLOG) != 0) {
        int status = -errno;
        explain(fault, bind_address->text, errno);
        if (fd >= 0)
            close(fd);
        return status;
    }
    bind_address->shared_fd = fd;
    if (!is_abstract)
        bind_address->unix_path = mem_copy_text(path);
    snprintf(bind_address->url, URL_BYTES, "unix:%s", path);
    return 0;
}

static int claim_inherited(struct bind_address *bind_address, const char *digits,
                           struct fault *fault)
{
    uint64_t number;
    int is_listening = 0;
    socklen_t len = sizeof(is_listening);
    if (!str_to_u64(str_of(digits), &number) || number > 1000000 ||
        getsockopt((int)number, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) != 0 ||
        !is_listening) {
        fault_set(fault, "bind: %s is not a socket that listens", bind_address->text);
        return -EINVAL;
    }
    int fd = (int)number;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    bind_address->shared_fd = fd;
    snprintf(bind_address->url, URL_BYTES, "%s", bind_address->text);
    return 0;
}

/* The descriptor that our predecessor had for it, now ours; -1: none. */
static int take_over(struct handover *handover, const char *bind_text, int slot)
{
    for (uint32_t i = 0; handover != NULL && i < handover_nsockets(handover); i++) {
        struct handover_socket *socket = handover_socket(handover, i);
        int fd = socket->fd;
        if (fd < 0 || socket->slot != slot || strcmp(socket->bind, bind_text) != 0)
            continue;
        socket->fd = -1;
        return fd;
    }
    return -1;
}

static bool is_handed_over(struct bind_address *bind_address, struct handover *handover)
{
    const char *text = bind_address->text, *label = bind_address->label;
    socklen_t len = sizeof(bind_address->addr);
    bind_address->shared_fd = take_over(handover, label, HANDOVER_SHARED);
    if (bind_address->shared_fd >= 0) {
        snprintf(bind_address->url, URL_BYTES, "%s", text);
        if (strncmp(text, "unix:", 5) == 0 && text[5] != '@')
            bind_address->unix_path = mem_copy_text(text + 5);
        return true;
    }
    for (uint32_t i = 0; handover != NULL && i < handover_nsockets(handover); i++) {
        const struct handover_socket *socket = handover_socket(handover, i);
        if (strcmp(socket->bind, label) != 0 || socket->fd < 0)
            continue;
        getsockname(socket->fd, (struct sockaddr *)&bind_address->addr, &len);
        bind_address->addr_len = len;
        make_tcp_urls(bind_address);
        return true;
    }
    return false;
}

static int claim(struct bind_address *bind_address, struct fault *fault)
{
    bind_address->shared_fd = -1;
    if (strncmp(bind_address->text, "unix:", 5) == 0)
        return claim_unix(bind_address, bind_address->text + 5, fault);
    if (strncmp(bind_address->text, "fd://", 5) == 0)
        return claim_inherited(bind_address, bind_address->text + 5, fault);
    return claim_tcp(bind_address, fault);
}

/* "proxy+" before an address: connections to it begin with a PROXY header. */
static const char *without_mark(const char *text, uint8_t *mark)
{
    static const char start[] = "proxy+";
    bool is_marked = strncmp(text, start, sizeof(start) - 1) == 0;
    *mark = is_marked ? HTTP_EXPECTS_PROXY : 0;
    return is_marked ? text + sizeof(start) - 1 : text;
}

static bool claim_all(struct listen_sockets *sockets, char *const *texts, uint32_t count,
                      enum http_service service, struct fault *fault)
{
    for (uint32_t i = 0; i < count; i++) {
        struct bind_address *each = &sockets->binds[sockets->nbinds];
        uint8_t mark;
        each->text = without_mark(texts[i], &mark);
        /* Who connects to a Unix socket is on this machine. */
        bool is_unix = strncmp(each->text, "unix:", 5) == 0;
        bool is_plain = is_unix && service == HTTP_SERVES_TLS;
        each->service = (uint8_t)(mark | (is_plain ? HTTP_SERVES_PLAIN : service));
        sockets->services[sockets->nbinds++] = each->service;
        each->label = handover_label(texts[i], service == HTTP_REDIRECTS);
        if (!is_handed_over(each, sockets->handover) && claim(each, fault) < 0)
            return false;
    }
    return true;
}

struct listen_sockets *listen_sockets_open(const struct config *config, uint32_t nslots,
                                           struct handover *handover, struct fault *fault)
{
    struct listen_sockets *sockets = MEM_NEW(struct listen_sockets);
    sockets->handover = handover;
    enum http_service service = config->certfile != NULL ? HTTP_SERVES_TLS : HTTP_SERVES_PLAIN;
    if (!claim_all(sockets, config->binds, config->nbinds, service, fault) ||
        !claim_all(sockets, config->redirect_binds, config->nredirect_binds, HTTP_REDIRECTS, fault))
        goto fail;
    while (sockets->nslots < nslots)
        if (listen_sockets_add_slot(sockets, fault) < 0)
            goto fail;
    sockets->handover = NULL;
    return sockets;

fail:
    if (handover == NULL) /* else they are served */
        listen_sockets_unlink(sockets);
    listen_sockets_close(sockets);
    return NULL;
}

static void close_slot(struct listen_sockets *sockets, uint32_t slot)
{
    for (uint32_t i = 0; i < sockets->nbinds; i++) {
        if (sockets->binds[i].shared_fd < 0 && sockets->fds[slot][i] >= 0)
            close(sockets->fds[slot][i]);
        sockets->fds[slot][i] = -1;
    }
}

int listen_sockets_add_slot(struct listen_sockets *sockets, struct fault *fault)
{
    uint32_t slot = sockets->nslots;
    ENSURE(slot < CONFIG_MAX_WORKERS);
    for (uint32_t i = 0; i < sockets->nbinds; i++)
        sockets->fds[slot][i] = -1;
    for (uint32_t i = 0; i < sockets->nbinds; i++) {
        const struct bind_address *each = &sockets->binds[i];
        int fd = each->shared_fd >= 0 ? each->shared_fd
                                      : take_over(sockets->handover, each->label, (int)slot);
        if (fd < 0)
            fd = open_tcp(each, true);
        if (fd < 0) {
            explain(fault, each->text, -fd);
            close_slot(sockets, slot);
            return fd;
        }
        sockets->fds[slot][i] = fd;
    }
    sockets->nslots++;
    return 0;
}

void listen_sockets_hand_over(const struct listen_sockets *sockets, struct handover *handover)
{
    for (uint32_t i = 0; i < sockets->nbinds; i++) {
        const struct bind_address *each = &sockets->binds[i];
        if (each->shared_fd >= 0)
            handover_add_socket(handover, HANDOVER_SHARED, each->shared_fd, each->label);
        for (uint32_t slot = 0; each->shared_fd < 0 && slot < sockets->nslots; slot++)
            handover_add_socket(handover, (int)slot, sockets->fds[slot][i], each->label);
    }
}

void listen_sockets_drop_slot(struct listen_sockets *sockets)
{
    ENSURE(sockets->nslots > 0);
    close_slot(sockets, --sockets->nslots);
}

/* Sockets of one bind stand in the kernel's group in the order in which they began to listen, which
 * is that of the slots; slots come and go at the end only. The program picks one of the first. */
void listen_sockets_steer(struct listen_sockets *sockets, uint32_t nslots)
{
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)},
        {BPF_ALU | BPF_MOD | BPF_K, 0, 0, nslots},
        {BPF_RET | BPF_A, 0, 0, 0},
    };
    struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
    for (uint32_t i = 0; nslots > 0 && i < sockets->nbinds; i++)
        if (sockets->binds[i].shared_fd < 0)
            setsockopt(sockets->fds[0][i], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
                       sizeof(program));
}

void listen_sockets_keep_slot(struct listen_sockets *sockets, uint32_t slot)
{
    for (uint32_t i = 0; i < sockets->nslots; i++)
        if (i != slot)
            close_slot(sockets, i);
}

void listen_sockets_unlink(struct listen_sockets *sockets)
{
    for (uint32_t i = 0; i < sockets->nbinds; i++)
        if (sockets->binds[i].unix_path != NULL)
            unlink(sockets->binds[i].unix_path);
}

void listen_sockets_close(struct listen_sockets *sockets)
{
    if (sockets == NULL)
        return;
    while (sockets->nslots > 0)
        listen_sockets_drop_slot(sockets);
    for (uint32_t i = 0; i < sockets->nbinds; i++) {
        if (sockets->binds[i].shared_fd >= 0)
            close(sockets->binds[i].shared_fd);
        free(sockets->binds[i].unix_path);
        free(sockets->binds[i].label);
    }
    free(sockets);
}

uint32_t listen_sockets_nslots(const struct listen_sockets *sockets)
{
    return sockets->nslots;
}

uint32_t listen_sockets_count(const struct listen_sockets *sockets)
{
    return sockets->nbinds;
}

const int *listen_sockets_of_slot(const struct listen_sockets *sockets, uint32_t slot)
{
    ENSURE(slot < sockets->nslots);
    return sockets->fds[slot];
}

const uint8_t *listen_sockets_services(const struct listen_sockets *sockets)
{
    return sockets->services;
}

const char *listen_sockets_url(const struct listen_sockets *sockets, uint32_t index)
{
    ENSURE(index < sockets->nbinds);
    return sockets->binds[index].url;
}

const char *listen_sockets_reachable_url(const struct listen_sockets *sockets, uint32_t index)
{
    ENSURE(index < sockets->nbinds);
    const char *url = sockets->binds[index].reachable_url;
    return *url != '\0' ? url : NULL;
}
