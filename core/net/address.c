#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

void address_set_port(struct address *address, uint16_t port)
{
    if (address->as.base.sa_family == AF_INET)
        ((struct sockaddr_in *)&address->as.storage)->sin_port = htons(port);
    else if (address->as.base.sa_family == AF_INET6)
        ((struct sockaddr_in6 *)&address->as.storage)->sin6_port = htons(port);
}

/* Member by member: what lies between and behind them may be anything. */
bool address_is_same_host(const struct address *a, const struct address *b)
{
    const struct sockaddr_in *four_a = (const struct sockaddr_in *)&a->as.storage;
    const struct sockaddr_in *four_b = (const struct sockaddr_in *)&b->as.storage;
    const struct sockaddr_in6 *six_a = (const struct sockaddr_in6 *)&a->as.storage;
    const struct sockaddr_in6 *six_b = (const struct sockaddr_in6 *)&b->as.storage;
    if (a->as.base.sa_family != b->as.base.sa_family)
        return false;
    if (a->as.base.sa_family == AF_INET)
        return four_a->sin_addr.s_addr == four_b->sin_addr.s_addr;
    if (a->as.base.sa_family == AF_INET6)
        return IN6_ARE_ADDR_EQUAL(&six_a->sin6_addr, &six_b->sin6_addr) &&
               six_a->sin6_scope_id == six_b->sin6_scope_id;
    return a->as.base.sa_family == AF_UNIX &&
           strncmp(a->as.local.sun_path, b->as.local.sun_path, sizeof(a->as.local.sun_path)) == 0;
}

static uint16_t port_of(const struct address *address)
{
    if (address->as.base.sa_family == AF_INET)
        return ((const struct sockaddr_in *)&address->as.storage)->sin_port;
    if (address->as.base.sa_family == AF_INET6)
        return ((const struct sockaddr_in6 *)&address->as.storage)->sin6_port;
    return 0;
}

bool address_is_equal(const struct address *a, const struct address *b)
{
    return address_is_same_host(a, b) && port_of(a) == port_of(b);
}

bool address_literal(struct address *address, const char *host, uint16_t port)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&address->as.storage;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address->as.storage;
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1)
        address->as.base.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1)
        address->as.base.sa_family = AF_INET6;
    else
        return false;
    address_set_port(address, port);
    return true;
}

bool address_unix(struct address *address, struct str path)
{
    struct sockaddr_un *local = &address->as.local;
    memset(address, 0, sizeof(*address));
    if (path.len == 0 || path.len >= sizeof(local->sun_path) ||
        memchr(path.ptr, '\0', path.len) != NULL)
        return false;
    local->sun_family = AF_UNIX;
    memcpy(local->sun_path, path.ptr, path.len);
    return true;
}

void address_text(const struct address *address, char text[ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "", link[12] = "";
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address->as.storage;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->as.storage;
    if (address->as.base.sa_family == AF_INET) {
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
        snprintf(text, ADDRESS_TEXT_BYTES, "%s:%u", host, ntohs(four->sin_port));
    } else {
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
        if (six->sin6_scope_id != 0)
            snprintf(link, sizeof(link), "%%%u", six->sin6_scope_id);
        snprintf(text, ADDRESS_TEXT_BYTES, "[%s%s]:%u", host, link, ntohs(six->sin6_port));
    }
}

void address_add_list(struct buf *text, const struct address *addresses, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char shown[ADDRESS_TEXT_BYTES];
        address_text(&addresses[i], shown);
        buf_add_text(text, i != 0 ? ", " : "");
        buf_add_text(text, shown);
    }
}
