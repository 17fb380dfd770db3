#include "http/head.h"

#include "http/conn.h"
#include "http/forwarded.h"
#include "http/method.h"
#include "http/request.h"
#include "http/server_state.h"
#include "net/stream.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum byte_kind {
    HOST_NAME = 1, /* RFC 3986, 3.2.2: reg-name, but for "%" */
    HOST_DIGIT = 2,
    HOST_HEX = 4,
    TARGET_PLAIN = 8, /* may be in a target, and means nothing else than itself */
};

static const uint8_t kinds[256] = {
    ['!'] = HOST_NAME | TARGET_PLAIN,
    ['"'] = TARGET_PLAIN,
    ['$'] = HOST_NAME | TARGET_PLAIN,
    ['&' ... '.'] = HOST_NAME | TARGET_PLAIN,
    ['/'] = TARGET_PLAIN,
    ['0' ... '9'] = HOST_NAME | HOST_DIGIT | HOST_HEX | TARGET_PLAIN,
    [':'] = TARGET_PLAIN,
    [';'] = HOST_NAME | TARGET_PLAIN,
    ['<'] = TARGET_PLAIN,
    ['='] = HOST_NAME | TARGET_PLAIN,
    ['>' ... '@'] = TARGET_PLAIN,
    ['A' ... 'F'] = HOST_NAME | HOST_HEX | TARGET_PLAIN,
    ['G' ... 'Z'] = HOST_NAME | TARGET_PLAIN,
    ['[' ... '^'] = TARGET_PLAIN,
    ['_'] = HOST_NAME | TARGET_PLAIN,
    ['`'] = TARGET_PLAIN,
    ['a' ... 'f'] = HOST_NAME | HOST_HEX | TARGET_PLAIN,
    ['g' ... 'z'] = HOST_NAME | TARGET_PLAIN,
    ['{' ... '}'] = TARGET_PLAIN,
    ['~'] = HOST_NAME | TARGET_PLAIN,
};

static bool is_kind(char c, int kind)
{
    return (kinds[(unsigned char)c] & kind) != 0;
}

static const char *skip(const char *at, const char *end, int kind)
{
    while (at < end && is_kind(*at, kind))
        at++;
    return at;
}

/* "%4a" */
static bool is_encoded(const char *at, const char *end)
{
    return end - at >= 3 && is_kind(at[1], HOST_HEX) && is_kind(at[2], HOST_HEX);
}

static const char *skip_name(const char *at, const char *end)
{
    while ((at = skip(at, end, HOST_NAME)) < end && *at == '%' && is_encoded(at, end))
        at += 3;
    return at;
}

/* RFC 3986, 3.2.2: what stands between brackets. */
static bool is_address(struct str text)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (text.len != 0 && (*text.ptr | 0x20) == 'v') { /* of a version to come */
        const char *end = text.ptr + text.len;
        const char *dot = skip(text.ptr + 1, end, HOST_HEX);
        if (dot == text.ptr + 1 || end - dot < 2 || *dot != '.')
            return false;
        for (dot++; dot < end && (*dot == ':' || is_kind(*dot, HOST_NAME)); dot++)
            ;
        return dot == end;
    }
    if (text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(AF_INET6, copy, &address) == 1;
}

/* Digits up to 65535, or none. */
static bool is_port(const char *at, const char *end)
{
    uint32_t port = 0;
    for (; at < end && is_kind(*at, HOST_DIGIT) && port <= UINT16_MAX; at++)
        port = port * 10 + (uint32_t)(*at - '0');
    return at == end && port <= UINT16_MAX;
}

/* RFC 9110, 7.2: uri-host [ ":" port ]. NULL when it is none, else where the port begins, or the
 * end. */
static const char *host_end(struct str text)
{
    const char *at = text.ptr, *end = text.ptr + text.len;
    if (text.len != 0 && *at == '[') {
        const char *close = memchr(at, ']', text.len);
        if (close == NULL || !is_address((struct str){at + 1, (size_t)(close - at - 1)}))
            return NULL;
        at = close + 1;
    } else {
        at = skip_name(at, end);
    }
    return at == end || (*at == ':' && is_port(at + 1, end)) ? at : NULL;
}

/* With a host that is not empty (RFC 9110, 4.2.1). */
static bool is_authority(struct str text)
{
    const char *end = host_end(text);
    return end != NULL && end != text.ptr;
}

/* RFC 9112, 3.2.3: a host and a port that one could connect to. */
static bool is_connect_target(struct str text)
{
    const char *end = host_end(text);
    const char *port = end != NULL && end != text.ptr + text.len ? end + 1 : NULL;
    while (port != NULL && port < text.ptr + text.len && *port == '0')
        port++;
    return is_authority(text) && port != NULL && port < text.ptr + text.len;
}

/* RFC 9112, 3.2: the origin form is left, the asterisk is for OPTIONS, the absolute form names
 * http. */
static const char *check_target(const struct request *request, struct str target)
{
    if (target.len == 1 && target.ptr[0] == '*')
        return request->message.method == METHOD_OPTIONS ? NULL : "* is a target for OPTIONS only";
    struct str authority;
    if (!request_authority(request, &authority))
        return "the target is neither a path nor an http URL";
    return is_authority(authority) ? NULL : "malformed authority in the target";
}

/* RFC 3986, 3.3 and 3.4, but for bytes that people leave unencoded and that mislead nobody. In a
 * query a percent sign may stand for itself, as people write it there. */
static const char *check_target_bytes(struct str target)
{
    const char *at = target.ptr, *end = target.ptr + target.len;
    bool is_in_query = false;
    for (; (at = skip(at, end, TARGET_PLAIN)) < end; at++) {
        if (*at != '%')
            return "the target holds a byte that has to be percent-encoded";
        is_in_query = is_in_query || memchr(target.ptr, '?', (size_t)(at - target.ptr)) != NULL;
        if (is_in_query)
            continue;
        if (!is_encoded(at, end))
            return "the path holds a percent sign that encodes nothing";
        if (at[1] == '0' && at[2] == '0')
            return "the path holds an encoded NUL";
    }
    return NULL;
}

/* RFC 9112, 3.3: who names no host asks for none, unless the target does. HTTP/1.0 did not have to.
 */
static const char *check_empty_host(const struct request *request)
{
    char first = *request_slice(request, request->message.target).ptr;
    bool is_alone = first == '/' || first == '*';
    return is_alone && request->message.version == 11 ? "the Host field is empty" : NULL;
}

static const char *check_host(const struct request *request)
{
    const struct message *message = &request->message;
    if (message->nhosts == 0)
        return message->version == 11 ? "the Host field is missing" : NULL; /* 9112, 3.2 */
    if (message->nhosts > 1)
        return "more than one Host field";
    struct str host = request_slice(request, message->headers[message->host].value);
    struct http_server *server = request->conn->server;
    if (host.len == 0)
        return check_empty_host(request);
    if (host.len == server->good_host_len && memcmp(host.ptr, server->good_host, host.len) == 0)
        return NULL;
    if (!is_authority(host))
        return "malformed Host field";
    if (host.len <= sizeof(server->good_host)) {
        memcpy(server->good_host, host.ptr, host.len);
        server->good_host_len = (uint8_t)host.len;
    }
    return NULL;
}

/* RFC 9110, 7.4: what is for https must not come in plain, unless a proxy that is believed brings
 * it. */
static bool is_misdirected(const struct request *request, struct str target)
{
    if (target.len < 6 || (target.ptr[4] | 0x20) != 's')
        return false; /* not "https:", as the only other absolute form is http */
    struct forwarded seen = forwarded_look(request);
    return !seen.is_https && !seen.is_believed;
}

/* The name or address in an authority that is well-formed. */
static struct str host_of(struct str authority)
{
    const char *begin = authority.ptr, *end = host_end(authority);
    bool is_bracketed = authority.len != 0 && *begin == '[';
    return (struct str){begin + is_bracketed, (size_t)(end - begin) - 2 * (size_t)is_bracketed};
}

/* RFC 9110, 7.4, where it is asked for: nobody but a proxy that is believed may ask over TLS for a
 * host that its certificate is not for. */
static bool is_for_another_host(const struct request *request)
{
    struct str authority;
    const struct conn *conn = request->conn;
    if (!conn->server->config->strict_host || !stream_has_tls(conn->stream) ||
        forwarded_look(request).is_believed)
        return false;
    return !request_host(request, &authority) ||
           !stream_is_certified_for(conn->stream, host_of(authority));
}

/* RFC 9112, 6.1 and 6.3 */
static uint16_t check_coding(const struct message *message, const char **why)
{
    *why = "both Transfer-Encoding and Content-Length";
    if (message->has_length)
        return 400;
    *why = "Transfer-Encoding in HTTP/1.0";
    if (message->version == 10)
        return 400;
    *why = "the last transfer coding is not chunked";
    if (!message->is_chunked)
        return 400;
    *why = "the only transfer coding known here is chunked";
    return message->has_other_codings ? 501 : 0;
}

uint16_t head_check(const struct request *request, const char **why)
{
    const struct message *message = &request->message;
    struct str target = request_slice(request, message->target);
    if ((*why = check_host(request)) != NULL)
        return 400;
    if (message->method == METHOD_CONNECT) {
        bool is_good = is_connect_target(target);
        *why = is_good ? "this server is no proxy" : "the target of CONNECT is no host and port";
        return is_good ? 501 : 400;
    }
    if (target.ptr[0] != '/') {
        if ((*why = check_target(request, target)) != NULL)
            return 400;
        *why = "https is not spoken on this connection";
        if (is_misdirected(request, target))
            return 421;
    }
    if ((*why = check_target_bytes(target)) != NULL)
        return 400;
    *why = "the certificate of this connection is not for that host";
    if (is_for_another_host(request))
        return 421;
    *why = "the only expectation known here is 100-continue";
    if (message->expects_more)
        return 417;
    return message->has_transfer_encoding ? check_coding(message, why) : 0;
}
