#include "net/address_order.h"

#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

enum { ORDER_MAX = 64, SCOPE_LINK = 2, SCOPE_SITE = 5, SCOPE_GLOBAL = 14 };

/* A destination, and the source address that the kernel would choose for it. */
struct choice {
    struct address address;
    struct in6_addr to;
    struct in6_addr from;
    bool is_reachable;
};

struct policy {
    uint8_t prefix[16];
    uint8_t bits;
    uint8_t precedence;
    uint8_t label;
};

/* RFC 6724, 2.1; the longest prefix that matches counts, so the longer ones come first. */
static const struct policy policies[] = {
    {{[15] = 1}, 128, 50, 0},                /* ::1 */
    {{[10] = 0xff, [11] = 0xff}, 96, 35, 4}, /* ::ffff:0:0/96, which is IPv4 */
    {{0}, 96, 1, 3},                         /* ::/96 */
    {{0x20, 0x01}, 32, 5, 5},                /* 2001::/32 */
    {{0x20, 0x02}, 16, 30, 2},               /* 2002::/16 */
    {{0x3f, 0xfe}, 16, 1, 12},               /* 3ffe::/16 */
    {{0xfe, 0xc0}, 10, 1, 11},               /* fec0::/10 */
    {{0xfc}, 7, 3, 13},                      /* fc00::/7 */
    {{0}, 0, 40, 1},                         /* ::/0 */
};

static unsigned equal_bits(const uint8_t *a, const uint8_t *b)
{
    unsigned bits = 0;
    while (bits < 128 && a[bits / 8] == b[bits / 8])
        bits += 8;
    while (bits < 128 && ((a[bits / 8] ^ b[bits / 8]) & (0x80 >> bits % 8)) == 0)
        bits++;
    return bits;
}

static const struct policy *policy_of(const struct in6_addr *address)
{
    const struct policy *policy = policies;
    while (equal_bits(policy->prefix, address->s6_addr) < policy->bits)
        policy++;
    return policy;
}

static int scope_of(const struct in6_addr *address)
{
    const uint8_t *bytes = address->s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(address)) /* RFC 6724, 3.2 */
        return bytes[12] == 127 || (bytes[12] == 169 && bytes[13] == 254) ? SCOPE_LINK
                                                                          : SCOPE_GLOBAL;
    if (IN6_IS_ADDR_MULTICAST(address))
        return bytes[1] & 0x0f;
    if (IN6_IS_ADDR_LOOPBACK(address) || IN6_IS_ADDR_LINKLOCAL(address))
        return SCOPE_LINK;
    return IN6_IS_ADDR_SITELOCAL(address) ? SCOPE_SITE : SCOPE_GLOBAL;
}

/* IPv4 as ::ffff:a.b.c.d. */
static struct in6_addr mapped(const struct sockaddr *address)
{
    struct in6_addr six = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    if (address->sa_family == AF_INET6)
        return ((const struct sockaddr_in6 *)address)->sin6_addr;
    memcpy(&six.s6_addr[12], &((const struct sockaddr_in *)address)->sin_addr, 4);
    return six;
}

/* Connecting a UDP socket sends nothing, it only chooses a route. */
static void find_source(struct choice *choice)
{
    struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(from);
    const struct sockaddr *to = &choice->address.as.base;
    socklen_t to_len =
        to->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    choice->to = mapped(to);
    if (fd < 0)
        return;
    if (connect(fd, to, to_len) == 0 && getsockname(fd, (struct sockaddr *)&from, &len) == 0) {
        choice->is_reachable = true;
        choice->from = mapped((struct sockaddr *)&from);
    }
    close(fd);
}

/* RFC 6724, 6, without the rules for which a program cannot see what they need. */
static bool is_better(const struct choice *a, const struct choice *b)
{
    if (a->is_reachable != b->is_reachable)
        return a->is_reachable;
    if (!a->is_reachable)
        return false;
    const struct policy *policy_a = policy_of(&a->to), *policy_b = policy_of(&b->to);
    int scope_a = scope_of(&a->to), scope_b = scope_of(&b->to);
    bool same_scope_a = scope_a == scope_of(&a->from), same_scope_b = scope_b == scope_of(&b->from);
    bool same_label_a = policy_a->label == policy_of(&a->from)->label;
    bool same_label_b = policy_b->label == policy_of(&b->from)->label;
    if (same_scope_a != same_scope_b)
        return same_scope_a;
    if (same_label_a != same_label_b)
        return same_label_a;
    if (policy_a->precedence != policy_b->precedence)
        return policy_a->precedence > policy_b->precedence;
    if (scope_a != scope_b)
        return scope_a < scope_b;
    if (IN6_IS_ADDR_V4MAPPED(&a->to) || IN6_IS_ADDR_V4MAPPED(&b->to))
        return false; /* the order in which servers give them is how they spread the load */
    return equal_bits(a->to.s6_addr, a->from.s6_addr) > equal_bits(b->to.s6_addr, b->from.s6_addr);
}

/* Equals keep their order. */
static void sort(struct choice *choices, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct choice choice = choices[i];
        uint32_t at = i;
        for (; at > 0 && is_better(&choice, &choices[at - 1]); at--)
            choices[at] = choices[at - 1];
        choices[at] = choice;
    }
}

static uint32_t next_of(const struct choice *choices, uint32_t count, uint32_t at, bool is_wanted,
                        int family)
{
    while (at < count && (choices[at].address.as.base.sa_family == family) != is_wanted)
        at++;
    return at;
}

void address_order(struct address *addresses, uint32_t count, int begin_with)
{
    struct choice choices[ORDER_MAX];
    if (count < 2 || count > ORDER_MAX)
        return;
    for (uint32_t i = 0; i < count; i++) {
        choices[i] = (struct choice){.address = addresses[i]};
        find_source(&choices[i]);
    }
    sort(choices, count);
    int first = begin_with != AF_UNSPEC ? begin_with : choices[0].address.as.base.sa_family;
    uint32_t mine = next_of(choices, count, 0, true, first);
    uint32_t other = next_of(choices, count, 0, false, first);
    for (uint32_t i = 0; i < count; i++) {
        bool takes_mine = mine < count && (i % 2 == 0 || other == count);
        uint32_t *at = takes_mine ? &mine : &other;
        addresses[i] = choices[*at].address;
        *at = next_of(choices, count, *at + 1, takes_mine, first);
    }
}
