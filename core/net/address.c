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

bool address_is_same_host(const struct address *a, const struct address *b)
{
    struct address left = *a, right = *b;
    address_set_port(&left, 0);
    address_set_port(&right, 0);
    return memcmp(&left, &right, sizeof(left)) == 0;
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
