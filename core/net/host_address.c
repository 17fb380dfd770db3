#include "net/host_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connecting a UDP socket sends nothing, it only chooses a route. The other end is an address that
 * is kept for documentation (RFC 5737, RFC 3849), so it lies behind the default route. */
static socklen_t set_elsewhere(int family, struct sockaddr_storage *address)
{
    const in_port_t discard = htons(9);
    memset(address, 0, sizeof(*address));
    address->ss_family = (sa_family_t)family;
    if (family == AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
        v6->sin6_port = discard;
        inet_pton(AF_INET6, "2001:db8::1", &v6->sin6_addr);
        return sizeof(*v6);
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    v4->sin_port = discard;
    inet_pton(AF_INET, "192.0.2.1", &v4->sin_addr);
    return sizeof(*v4);
}

int host_address(int family, char text[HOST_ADDRESS_BYTES])
{
    struct sockaddr_storage address;
    socklen_t len = set_elsewhere(family, &address);
    const void *bytes = family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)&address)->sin6_addr
                                           : (void *)&((struct sockaddr_in *)&address)->sin_addr;
    int status = 0;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        status = -errno;
    if (fd >= 0)
        close(fd);
    if (status != 0)
        snprintf(text, HOST_ADDRESS_BYTES, "%s", family == AF_INET6 ? "::1" : "127.0.0.1");
    else
        inet_ntop(family, bytes, text, HOST_ADDRESS_BYTES);
    return status;
}
