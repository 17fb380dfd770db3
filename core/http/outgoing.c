#include "http/outgoing.h"

#include "base/mem.h"
#include "http/field.h"
#include "http/method.h"
#include "http/proxy.h"

#include <stdlib.h>

static bool refuse(const char **reason, const char *text)
{
    *reason = text;
    return false;
}

static bool is_idempotent(int method)
{
    return method == METHOD_GET || method == METHOD_HEAD || method == METHOD_PUT ||
           method == METHOD_DELETE || method == METHOD_OPTIONS || method == METHOD_TRACE;
}

/* False with the reason. */
static bool use_proxy(struct outgoing *outgoing, struct str text, const char **reason)
{
    struct proxy *proxy = proxy_new(text, reason);
    if (outgoing->url.scheme == URL_HTTP_UNIX) {
        proxy_free(proxy);
        return proxy != NULL;
    }
    outgoing->proxy = proxy;
    outgoing->is_forwarded =
        proxy != NULL && outgoing->url.scheme == URL_HTTP && proxy->kind == PROXY_HTTP;
    return proxy != NULL;
}

static void add_line(struct outgoing *outgoing, struct str method)
{
    struct buf *head = &outgoing->head;
    buf_add_str(head, method);
    buf_add_char(head, ' ');
    if (outgoing->is_forwarded) { /* RFC 9112, 3.2.2 */
        buf_add_text(head, "http://");
        url_add_host(head, &outgoing->url);
    }
    url_add_target(head, &outgoing->url);
    buf_add_text(head, " HTTP/1.1\r\n");
    outgoing->line_bytes = head->len;
}

struct outgoing *outgoing_new(struct str method, struct str url, struct str proxy,
                              const char **reason)
{
    struct url_error error;
    int number = method_of(method);
    if (number < 0 || number == METHOD_CONNECT) {
        *reason = "this method cannot be sent";
        return NULL;
    }
    struct outgoing *outgoing = MEM_NEW(struct outgoing);
    outgoing->refs = 1;
    outgoing->method = (uint8_t)number;
    outgoing->is_idempotent = is_idempotent(number);
    buf_add_str(&outgoing->url_text, url);
    if (url_parse(buf_str(&outgoing->url_text), &outgoing->url, &error) != 0) {
        *reason = error.reason;
        outgoing_unref(outgoing);
        return NULL;
    }
    if (proxy.ptr != NULL && !use_proxy(outgoing, proxy, reason)) {
        outgoing_unref(outgoing);
        return NULL;
    }
    add_line(outgoing, method);
    return outgoing;
}

/* RFC 9110, 5.5: no control character but the tab. */
static bool is_field_value(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_name(struct str name, const char *expected)
{
    return str_equal_nocase(name, str_of(expected));
}

/* Whether a list of tokens (Connection) holds "close". */
static bool holds_close(struct str list)
{
    static const char word[] = "close";
    for (size_t i = 0; i + 5 <= list.len; i++)
        if (str_equal_nocase((struct str){list.ptr + i, 5}, str_of(word)))
            return true;
    return false;
}

bool outgoing_add(struct outgoing *outgoing, struct str name, struct str value, const char **reason)
{
    if (!field_is_name(name))
        return refuse(reason, "the name of a header field holds a character that may not be there");
    if (!is_field_value(value))
        return refuse(reason, "the value of a header field holds a control character");
    if (is_name(name, "content-length") || is_name(name, "transfer-encoding") ||
        is_name(name, "trailer") || is_name(name, "upgrade"))
        return refuse(reason, "this header field follows from the body and cannot be set");
    if (is_name(name, "host")) {
        if (outgoing->has_host)
            return refuse(reason, "there can be one Host field only");
        if (!url_is_host(value))
            return refuse(reason,
                          "the Host field is no host name or address with an optional port");
        outgoing->has_host = true;
    } else if (is_name(name, "user-agent")) {
        outgoing->has_user_agent = true;
    } else if (is_name(name, "accept")) {
        outgoing->has_accept = true;
    } else if (is_name(name, "expect")) {
        return refuse(reason, "this header field is sent by the option expect alone");
    } else if (is_name(name, "via")) { /* a gateway adds nothing of its own */
        outgoing->has_user_agent = outgoing->has_accept = outgoing->is_raw = true;
    } else if (is_name(name, "connection")) {
        outgoing->wants_close |= holds_close(value);
    } else if (is_name(name, "proxy-authorization")) {
        if (outgoing->proxy != NULL && !outgoing->is_forwarded)
            return refuse(reason, "Proxy-Authorization would go through the proxy to the server; "
                                  "write user and password into the proxy's URL");
        outgoing->has_proxy_authorization = true;
    }
    struct buf *head = &outgoing->head;
    buf_add_str(head, name);
    buf_add_text(head, ": ");
    buf_add_str(head, value);
    buf_add_text(head, "\r\n");
    if (head->len - outgoing->line_bytes > OUTGOING_HEAD_MAX)
        return refuse(reason, "the header fields are too long");
    return true;
}

bool outgoing_upgrade(struct outgoing *outgoing, struct str protocol, const char **reason)
{
    struct buf *head = &outgoing->head;
    if (!field_is_protocol(protocol))
        return refuse(reason, "the protocol of an upgrade is a name such as websocket");
    buf_add_text(head, "Connection: Upgrade\r\nUpgrade: ");
    outgoing->upgrade = (struct slice){(uint32_t)head->len, (uint32_t)protocol.len};
    buf_add_str(head, protocol);
    buf_add_text(head, "\r\n");
    return true;
}

void outgoing_end(struct outgoing *outgoing)
{
    struct buf *head = &outgoing->head;
    if (!outgoing->has_host) {
        buf_add_text(head, "Host: ");
        url_add_host(head, &outgoing->url);
        buf_add_text(head, "\r\n");
    }
    if (outgoing->is_forwarded && !outgoing->has_proxy_authorization)
        proxy_add_authorization(head, outgoing->proxy);
    if (!outgoing->has_user_agent)
        buf_add_text(head, "User-Agent: moonloop/" MOONLOOP_VERSION "\r\n");
    if (!outgoing->has_accept)
        buf_add_text(head, "Accept: */*\r\n");
}

struct outgoing *outgoing_ref(struct outgoing *outgoing)
{
    outgoing->refs++;
    return outgoing;
}

void outgoing_unref(struct outgoing *outgoing)
{
    if (outgoing == NULL || --outgoing->refs != 0)
        return;
    proxy_free(outgoing->proxy);
    buf_deinit(&outgoing->url_text);
    buf_deinit(&outgoing->head);
    free(outgoing);
}
