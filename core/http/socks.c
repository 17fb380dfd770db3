#include "http/socks.h"

#include "http/proxy.h"

#include <arpa/inet.h>
#include <string.h>

enum { VERSION = 5, AUTHENTICATION_VERSION = 1, COMMAND_CONNECT = 1 };
enum { METHOD_NONE = 0, METHOD_PASSWORD = 2 };
enum { ADDRESS_IPV4 = 1, ADDRESS_NAME = 3, ADDRESS_IPV6 = 4 };
enum { AWAITS_METHOD, AWAITS_AUTHENTICATION, AWAITS_REPLY };

static void add_byte(struct buf *out, int byte)
{
    buf_add_char(out, (char)byte);
}

static void add_counted(struct buf *out, const char *text)
{
    add_byte(out, (int)strlen(text));
    buf_add_text(out, text);
}

void socks_begin(struct socks *socks, const struct proxy *proxy, const char *host, uint16_t port,
                 struct buf *out)
{
    *socks = (struct socks){.proxy = proxy, .host = host, .port = port, .awaited = AWAITS_METHOD};
    add_byte(out, VERSION);
    add_byte(out, proxy->user != NULL ? 2 : 1);
    add_byte(out, METHOD_NONE);
    if (proxy->user != NULL)
        add_byte(out, METHOD_PASSWORD);
}

static void ask_for_target(struct socks *socks, struct buf *out)
{
    unsigned char address[16];
    add_byte(out, VERSION);
    add_byte(out, COMMAND_CONNECT);
    add_byte(out, 0);
    if (inet_pton(AF_INET, socks->host, address) == 1) {
        add_byte(out, ADDRESS_IPV4);
        buf_add(out, address, 4);
    } else if (inet_pton(AF_INET6, socks->host, address) == 1) {
        add_byte(out, ADDRESS_IPV6);
        buf_add(out, address, 16);
    } else {
        add_byte(out, ADDRESS_NAME);
        add_counted(out, socks->host); /* a URL's host has at most 253 bytes */
    }
    add_byte(out, socks->port >> 8);
    add_byte(out, socks->port & 0xff);
    socks->awaited = AWAITS_REPLY;
}

static enum socks_result fail(struct socks *socks, enum socks_result result, const char *reason)
{
    socks->reason = reason;
    return result;
}

static enum socks_result take_method(struct socks *socks, unsigned char method, struct buf *out)
{
    if (method == METHOD_NONE) {
        ask_for_target(socks, out);
        return SOCKS_MORE;
    }
    if (method == METHOD_PASSWORD && socks->proxy->user != NULL) {
        add_byte(out, AUTHENTICATION_VERSION);
        add_counted(out, socks->proxy->user);
        add_counted(out, socks->proxy->password);
        socks->awaited = AWAITS_AUTHENTICATION;
        return SOCKS_MORE;
    }
    return fail(socks, SOCKS_REFUSED,
                socks->proxy->user != NULL
                    ? "it takes neither user and password nor nobody"
                    : "it wants a user and a password; write them into its URL");
}

/* How long the reply is, once enough of it is there; 0: not yet, -1: malformed. */
static long reply_len(const unsigned char *bytes, size_t len)
{
    if (len < 5)
        return 0;
    switch (bytes[3]) {
    case ADDRESS_IPV4:
        return 4 + 4 + 2;
    case ADDRESS_IPV6:
        return 4 + 16 + 2;
    case ADDRESS_NAME:
        return 4 + 1 + bytes[4] + 2;
    default:
        return -1;
    }
}

static const char *reply_text(unsigned char code)
{
    static const char *const texts[] = {
        "it is ready",         "general failure",      "its rules do not allow it",
        "network unreachable", "host unreachable",     "connection refused",
        "TTL expired",         "it does not know TCP", "it does not know this kind of address",
    };
    return code < sizeof(texts) / sizeof(*texts) ? texts[code] : "an unknown failure";
}

static enum socks_result take_reply(struct socks *socks, struct buf *in)
{
    const unsigned char *bytes = (const unsigned char *)in->ptr;
    if (in->len >= 2 && bytes[1] != 0) /* some send no more than that */
        return fail(socks, SOCKS_REFUSED, reply_text(bytes[1]));
    long len = reply_len(bytes, in->len);
    if (len < 0)
        return fail(socks, SOCKS_MALFORMED, "an address of an unknown kind");
    if (len == 0 || in->len < (size_t)len)
        return SOCKS_MORE;
    buf_consume(in, (size_t)len);
    return SOCKS_READY;
}

enum socks_result socks_feed(struct socks *socks, struct buf *in, struct buf *out)
{
    while (in->len >= 2) {
        const unsigned char *bytes = (const unsigned char *)in->ptr;
        unsigned char version =
            socks->awaited == AWAITS_AUTHENTICATION ? AUTHENTICATION_VERSION : VERSION;
        if (bytes[0] != version)
            return fail(socks, SOCKS_MALFORMED, "it does not speak SOCKS 5");
        if (socks->awaited == AWAITS_REPLY)
            return take_reply(socks, in);
        enum socks_result result = SOCKS_MORE;
        if (socks->awaited == AWAITS_METHOD)
            result = take_method(socks, bytes[1], out);
        else if (bytes[1] == 0)
            ask_for_target(socks, out);
        else
            result = fail(socks, SOCKS_REFUSED, "it does not take this user and password");
        if (result != SOCKS_MORE)
            return result;
        buf_consume(in, 2);
    }
    return SOCKS_MORE;
}
