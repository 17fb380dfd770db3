#include "http/head.h"

#include "http/conn.h"
#include "http/method.h"
#include "http/request.h"
#include "http/server_state.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum byte_kind {
    HOST_NAME = 1, /* RFC 3986, 3.2.2: reg-name, with "%" for its encoded bytes */
    HOST_DIGIT = 2,
    HOST_IPV6 = 4, /* between brackets, IPvFuture included */
};

static const uint8_t kinds[256] = {
    ['0' ... '9'] = HOST_NAME | HOST_DIGIT | HOST_IPV6,
    ['a' ... 'z'] = HOST_NAME | HOST_IPV6,
    ['A' ... 'Z'] = HOST_NAME | HOST_IPV6,
    ['-'] = HOST_NAME | HOST_IPV6,
    ['.'] = HOST_NAME | HOST_IPV6,
    ['_'] = HOST_NAME | HOST_IPV6,
    ['~'] = HOST_NAME | HOST_IPV6,
    [':'] = HOST_IPV6,
    ['%'] = HOST_NAME | HOST_IPV6,
    ['!'] = HOST_NAME,
    ['$'] = HOST_NAME,
    ['&'] = HOST_NAME,
    ['\''] = HOST_NAME,
    ['('] = HOST_NAME,
    [')'] = HOST_NAME,
    ['*'] = HOST_NAME,
    ['+'] = HOST_NAME,
    [';'] = HOST_NAME,
    ['='] = HOST_NAME,
};

static const char *skip(const char *at, const char *end, int kind)
{
    while (at < end && (kinds[(unsigned char)*at] & kind) != 0)
        at++;
    return at;
}

/* RFC 9110, 7.2: uri-host [ ":" port ] */
static bool is_authority(struct str text)
{
    const char *at = text.ptr, *end = text.ptr + text.len;
    if (text.len != 0 && *at == '[') {
        const char *close = skip(at + 1, end, HOST_IPV6);
        if (close == at + 1 || close == end || *close != ']')
            return false;
        at = close + 1;
    } else {
        at = skip(at, end, HOST_NAME);
    }
    if (at < end && *at == ':')
        at = skip(at + 1, end, HOST_DIGIT);
    return at == end;
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
    return authority.len != 0 && is_authority(authority) ? NULL
                                                         : "malformed authority in the target";
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
    *why = NULL;
    if (message->method == METHOD_CONNECT) {
        *why = "this server is no proxy";
        return 501;
    }
    if ((*why = check_host(request)) != NULL)
        return 400;
    if (target.ptr[0] != '/' && (*why = check_target(request, target)) != NULL)
        return 400;
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.ptr[i];
        if (c <= ' ' || c >= 127 || c == '#') {
            *why = "the target holds a byte that has to be percent-encoded";
            return 400;
        }
    }
    return message->has_transfer_encoding ? check_coding(message, why) : 0;
}
