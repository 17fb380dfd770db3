/*
 * What a fetch does about an upgrade that its request offers: what the server makes of it (RFC
 * 9110, 7.8).
 */
#include "http/fetch.h"
#include "http/outgoing.h"

/* RFC 9110, 7.8: the server names what it switches to, and that is what was offered. */
const char *fetch_check_switch(const struct fetch *fetch, const char *base)
{
    const struct message *message = &fetch->message;
    const struct outgoing *request = fetch->request;
    struct str offered = {request->head.ptr + request->upgrade.at, request->upgrade.len};
    if (request->upgrade.len == 0)
        return "the server switches protocols without being asked";
    for (uint32_t i = 0; i < message->nheaders; i++) {
        const struct header_slice *header = &message->headers[i];
        struct str name = {base + header->name.at, header->name.len};
        struct str value = {base + header->value.at, header->value.len};
        if (str_equal_nocase(name, str_of("upgrade")) && str_equal_nocase(value, offered))
            return NULL;
    }
    return "the server switches to a protocol that was not offered";
}

struct duplex *fetch_take_duplex(struct fetch *fetch)
{
    struct duplex *duplex = fetch->duplex;
    fetch->duplex = NULL;
    return duplex;
}
