#include "server/bind_address.h"

#include "base/mem.h"
#include "base/str.h"
#include "http/server.h"
#include "net/host_address.h"
#include "net/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

/* What went wrong with a bind, and what the user can do about it. */
void bind_address_explain(struct fault *fault, const char *bind_text, int error)
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

void bind_address_name(struct bind_address *bind_address)
{
    char host[INET6_ADDRSTRLEN], reachable[HOST_ADDRESS_BYTES];
    int family = bind_address->addr.ss_family;
    const char *format = family == AF_INET6 ? "%s://[%s]:%u" : "%s://%s:%u";
    bool has_tls = (bind_address->service & ~HTTP_EXPECTS_PROXY) == HTTP_SERVES_TLS;
    const char *scheme = has_tls ? "https" : "http";
    unsigned port = ntohs(*port_of(&bind_address->addr));
    getnameinfo((struct sockaddr *)&bind_address->addr, bind_address->addr_len, host, sizeof(host),
                NULL, 0, NI_NUMERICHOST);
    snprintf(bind_address->url, BIND_URL_BYTES, format, scheme, host, port);
    if (is_every_address(&bind_address->addr)) {
        host_address(family, reachable);
        snprintf(bind_address->reachable_url, BIND_URL_BYTES, format, scheme, reachable, port);
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
        bind_address_explain(fault, bind_address->text, -fd);
        return fd;
    }
    if (*port_of(&bind_address->addr) == 0) {
        /* Nobody else is given a free port that we hold, so it is ours until the close. */
        socklen_t len = sizeof(bind_address->addr);
        getsockname(fd, (struct sockaddr *)&bind_address->addr, &len);
    }
    close(fd);
    bind_address_name(bind_address);
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
        bind_address_explain(fault, bind_address->text, errno);
        if (fd >= 0)
            close(fd);
        return status;
    }
    bind_address->shared_fd = fd;
    if (!is_abstract)
        bind_address->unix_path = mem_copy_text(path);
    snprintf(bind_address->url, BIND_URL_BYTES, "unix:%s", path);
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
    snprintf(bind_address->url, BIND_URL_BYTES, "%s", bind_address->text);
    return 0;
}

int bind_address_claim(struct bind_address *bind_address, struct fault *fault)
{
    bind_address->shared_fd = -1;
    if (strncmp(bind_address->text, "unix:", 5) == 0)
        return claim_unix(bind_address, bind_address->text + 5, fault);
    if (strncmp(bind_address->text, "fd://", 5) == 0)
        return claim_inherited(bind_address, bind_address->text + 5, fault);
    return claim_tcp(bind_address, fault);
}

int bind_address_open(const struct bind_address *bind_address)
{
    return open_tcp(bind_address, true);
}
