#include "net/loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>

#define PLAIN_CONTROL "reno" /* built into every kernel */

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

void loopback_forgo_pacing(int fd, const struct sockaddr *address)
{
    if (is_loopback(address))
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, PLAIN_CONTROL, strlen(PLAIN_CONTROL));
}
