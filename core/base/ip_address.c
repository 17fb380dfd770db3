#include "base/ip_address.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { FOUR_AT = 12, FOUR_BITS = 32, ALL_BITS = 128 };

static const uint8_t mapped[FOUR_AT] = {[10] = 0xff, [11] = 0xff};

void ip_address_from_four(struct ip_address *address, const void *four)
{
    memcpy(address->bytes, mapped, FOUR_AT);
    memcpy(address->bytes + FOUR_AT, four, 4);
}

void ip_address_from_six(struct ip_address *address, const void *six)
{
    memcpy(address->bytes, six, IP_ADDRESS_BYTES);
}

bool ip_address_is_four(const struct ip_address *address)
{
    return memcmp(address->bytes, mapped, FOUR_AT) == 0;
}

bool ip_address_read(struct ip_address *address, struct str text)
{
    char copy[IP_ADDRESS_TEXT_BYTES];
    unsigned char raw[IP_ADDRESS_BYTES];
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, raw) == 1)
        ip_address_from_four(address, raw);
    else if (inet_pton(AF_INET6, copy, raw) == 1)
        ip_address_from_six(address, raw);
    else
        return false;
    return true;
}

bool ip_address_of_socket(struct ip_address *address, const struct sockaddr *from)
{
    if (from->sa_family == AF_INET)
        ip_address_from_four(address, &((const struct sockaddr_in *)from)->sin_addr);
    else if (from->sa_family == AF_INET6)
        ip_address_from_six(address, &((const struct sockaddr_in6 *)from)->sin6_addr);
    else
        return false;
    return true;
}

size_t ip_address_show(const struct ip_address *address, char text[IP_ADDRESS_TEXT_BYTES])
{
    if (ip_address_is_four(address))
        inet_ntop(AF_INET, address->bytes + FOUR_AT, text, IP_ADDRESS_TEXT_BYTES);
    else
        inet_ntop(AF_INET6, address->bytes, text, IP_ADDRESS_TEXT_BYTES);
    return strlen(text);
}

/* ---- networks ---- */

static bool read_network(struct ip_network *network, struct str text)
{
    const char *slash = text.len != 0 ? memchr(text.ptr, '/', text.len) : NULL;
    struct str host = {text.ptr, slash != NULL ? (size_t)(slash - text.ptr) : text.len};
    uint64_t bits;
    if (!ip_address_read(&network->address, host))
        return false;
    uint32_t own_bits = memchr(host.ptr, ':', host.len) != NULL ? ALL_BITS : FOUR_BITS;
    bits = own_bits;
    if (slash != NULL && !str_to_u64((struct str){slash + 1, text.len - host.len - 1}, &bits))
        return false;
    network->bits = (uint32_t)bits + (ALL_BITS - own_bits);
    return bits <= own_bits;
}

bool ip_networks_read(struct ip_networks *networks, const char *text)
{
    bool is_good = true;
    *networks = (struct ip_networks){0};
    while (text != NULL && *(text += strspn(text, ", \t")) != '\0') {
        struct str each = {text, strcspn(text, ", \t")};
        struct ip_network network;
        text += each.len;
        if (str_equal(each, str_of("*"))) {
            networks->is_everyone = true;
        } else if (read_network(&network, each)) {
            networks->list = mem_grow(networks->list, (networks->count + 1) * sizeof(network));
            networks->list[networks->count++] = network;
        } else {
            is_good = false;
        }
    }
    return is_good;
}

static bool is_within(const struct ip_network *network, const struct ip_address *address)
{
    uint32_t whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->address.bytes, address->bytes, whole) != 0)
        return false;
    uint8_t differs = rest != 0 ? network->address.bytes[whole] ^ address->bytes[whole] : 0;
    return differs >> (8 - rest) == 0;
}

bool ip_networks_have(const struct ip_networks *networks, const struct ip_address *address)
{
    if (networks->is_everyone)
        return true;
    for (uint32_t i = 0; i < networks->count; i++)
        if (is_within(&networks->list[i], address))
            return true;
    return false;
}

void ip_networks_deinit(struct ip_networks *networks)
{
    free(networks->list);
    *networks = (struct ip_networks){0};
}
