/*
 * The part of a fetch that offers to leave HTTP, and looks at what the server makes of it (RFC
 * 9110, 7.8).
 */
#include "http/fetch.h"
#include "http/field.h"

bool fetch_upgrade(struct fetch *fetch, struct str protocol, const char **reason)
{
    struct buf *head = &fetch->head;
    if (!field_is_protocol(protocol)) {
        *reason = "the protocol of an upgrade is a name such as websocket";
        return false;
    }
    buf_add_text(head, "Connection: Upgrade\r\nUpgrade: ");
    fetch->upgrade = (struct slice){(uint32_t)head->len, (uint32_t)protocol.len};
    buf_add_str(head, protocol);
    buf_add_text(head, "\r\n");
    return true;
}

/* RFC 9110, 7.8: the server names what it switches to, and that is what was offered. */
const char *fetch_check_switch(const struct fetch *fetch, const char *base)
{
    const struct message *message = &fetch->message;
    struct str offered = {fetch->head.ptr + fetch->upgrade.at, fetch->upgrade.len};
    if (fetch->upgrade.len == 0)
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
