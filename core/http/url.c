/* See url.h. Parsing goes left to right and never looks outside of the slice it was given. */
#include "http/url.h"

#include "http/query.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

enum { HOST_MAX_BYTES = 253 };

static const struct {
    const char *name;
    uint16_t port;
} schemes[] = {{"http", 80}, {"https", 443}, {"http+unix", 0}};

static const char how_unix[] = "a Unix socket is written http://unix:/run/app.sock:/path or "
                               "http+unix://%2Frun%2Fapp.sock/path";

static int refuse(struct url_error *error, struct str text, const char *at, const char *reason)
{
    *error = (struct url_error){reason, (size_t)(at - text.ptr)};
    return -EINVAL;
}

static struct str slice(const char *begin, const char *end)
{
    return (struct str){begin, (size_t)(end - begin)};
}

/* The first byte of `text` that is in `set`, else its end. */
static const char *find_any(struct str text, const char *set)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '\0' && strchr(set, text.ptr[i]) != NULL)
            return text.ptr + i;
    return text.ptr + text.len;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int check_bytes(struct str text, struct url_error *error)
{
    for (const char *at = text.ptr; at < text.ptr + text.len; at++) {
        if (*at == ' ')
            return refuse(error, text, at, "a space; write it as %20");
        if ((unsigned char)*at < ' ' || *at == 0x7F)
            return refuse(error, text, at, "a control character");
        if (*at == '\\')
            return refuse(error, text, at, "a backslash");
    }
    return 0;
}

static int parse_port(struct str text, struct str port, struct url *url, struct url_error *error)
{
    uint64_t number;
    if (port.len == 0)
        return 0;
    if (!str_to_u64(port, &number) || number < 1 || number > UINT16_MAX)
        return refuse(error, text, port.ptr, "the port is not a number from 1 to 65535");
    url->has_port = true;
    url->port = (uint16_t)number;
    return 0;
}

static int check_name(struct str text, struct str host, struct url_error *error)
{
    if (host.len > HOST_MAX_BYTES)
        return refuse(error, text, host.ptr, "the host is longer than 253 bytes");
    for (const char *at = host.ptr; at < host.ptr + host.len; at++) {
        if ((unsigned char)*at >= 0x80)
            return refuse(error, text, at, "the host is not ASCII; write it in its xn-- form");
        if (!is_letter(*at) && !is_digit(*at) && *at != '-' && *at != '.' && *at != '_')
            return refuse(error, text, at, "the host has a character that no host name has");
    }
    return 0;
}

static int parse_ipv6(struct str text, struct str host, struct url *url, struct url_error *error)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    const char *close = memchr(host.ptr, ']', host.len);
    if (close == NULL)
        return refuse(error, text, host.ptr, "a [ without its ]");
    url->is_ipv6 = true;
    url->host = slice(host.ptr + 1, close);
    if (url->host.len < sizeof(address)) {
        memcpy(address, url->host.ptr, url->host.len);
        address[url->host.len] = '\0';
    }
    if (url->host.len >= sizeof(address) || inet_pton(AF_INET6, address, &ignored) != 1)
        return refuse(error, text, host.ptr + 1, "not an IPv6 address");
    const char *end = host.ptr + host.len;
    if (close + 1 == end)
        return 0;
    if (close[1] != ':')
        return refuse(error, text, close + 1, "only a port may follow the ]");
    return parse_port(text, slice(close + 2, end), url, error);
}

static int parse_socket(struct str text, struct str host, struct url *url, struct url_error *error)
{
    url->host = host;
    for (const char *at = host.ptr; at < host.ptr + host.len; at++)
        if (*at == ':' || *at == '[' || (unsigned char)*at >= 0x80)
            return refuse(error, text, at, "the socket's path must be percent-encoded");
    if (!percent_is_valid(host))
        return refuse(error, text, host.ptr, "a % without two hexadecimal digits");
    return 0;
}

static int parse_authority(struct str text, struct str authority, struct url *url,
                           struct url_error *error)
{
    const char *end = authority.ptr + authority.len;
    const char *at_sign = memchr(authority.ptr, '@', authority.len);
    struct str host = authority;
    if (at_sign != NULL) {
        url->has_userinfo = true;
        url->userinfo = slice(authority.ptr, at_sign);
        host = slice(at_sign + 1, end);
        if (memchr(host.ptr, '@', host.len) != NULL)
            return refuse(error, text, at_sign, "a second @; write the first one as %40");
    }
    if (host.len == 0)
        return refuse(error, text, host.ptr,
                      url->scheme == URL_HTTP_UNIX ? how_unix : "the host is missing");
    if (url->scheme == URL_HTTP_UNIX)
        return parse_socket(text, host, url, error);
    if (host.ptr[0] == '[')
        return parse_ipv6(text, host, url, error);
    const char *colon = memchr(host.ptr, ':', host.len);
    url->host = slice(host.ptr, colon != NULL ? colon : end);
    if (url->host.len == 0)
        return refuse(error, text, host.ptr, "the host is missing");
    if (colon == end - 1 && str_equal_nocase(url->host, str_of("unix")))
        return refuse(error, text, url->host.ptr, how_unix);
    if (colon != NULL && parse_port(text, slice(colon + 1, end), url, error) != 0)
        return -EINVAL;
    return check_name(text, url->host, error);
}

static void split_tail(struct str tail, struct url *url)
{
    const char *end = tail.ptr + tail.len;
    const char *hash = find_any(tail, "#");
    const char *question = find_any(slice(tail.ptr, hash), "?");
    url->path = slice(tail.ptr, question);
    url->has_query = question < hash;
    url->query = url->has_query ? slice(question + 1, hash) : (struct str){"", 0};
    url->fragment = hash < end ? slice(hash + 1, end) : (struct str){"", 0};
}

int url_parse(struct str text, struct url *url, struct url_error *error)
{
    *url = (struct url){.scheme = -1};
    *error = (struct url_error){0};
    if (check_bytes(text, error) != 0)
        return -EINVAL;
    const char *end = text.ptr + text.len;
    const char *colon = find_any(text, ":/?#");
    if (colon < end && *colon == ':' && str_equal_nocase(slice(text.ptr, colon), str_of("unix")))
        return refuse(error, text, text.ptr, how_unix);
    if (colon == end || *colon != ':' || end - colon < 3 || memcmp(colon, "://", 3) != 0)
        return refuse(error, text, text.ptr, "not an absolute URL: expected http:// or https://");
    for (int i = 0; i <= URL_HTTP_UNIX; i++)
        if (str_equal_nocase(slice(text.ptr, colon), str_of(schemes[i].name)))
            url->scheme = i;
    if (url->scheme < 0)
        return refuse(error, text, text.ptr, "the scheme is none of http, https, http+unix");
    url->port = schemes[url->scheme].port;
    struct str rest = slice(colon + 3, end);
    const char *authority_end = find_any(rest, "/?#");
    if (parse_authority(text, slice(rest.ptr, authority_end), url, error) != 0)
        return -EINVAL;
    split_tail(slice(authority_end, end), url);
    return 0;
}

void url_add_target(struct buf *out, const struct url *url)
{
    if (url->path.len == 0)
        buf_add_char(out, '/');
    percent_add_target(out, url->path);
    if (url->has_query) {
        buf_add_char(out, '?');
        percent_add_target(out, url->query);
    }
}

void url_add_host(struct buf *out, const struct url *url)
{
    if (url->scheme == URL_HTTP_UNIX) {
        buf_add_text(out, "localhost");
        return;
    }
    if (url->is_ipv6)
        buf_add_char(out, '[');
    buf_add_str(out, url->host);
    if (url->is_ipv6)
        buf_add_char(out, ']');
    if (url->port != schemes[url->scheme].port) {
        buf_add_char(out, ':');
        buf_add_u64(out, url->port);
    }
}

bool url_is_host(struct str text)
{
    struct url url = {.scheme = URL_HTTP};
    struct url_error error;
    return memchr(text.ptr, '@', text.len) == NULL && check_bytes(text, &error) == 0 &&
           parse_authority(text, text, &url, &error) == 0;
}

bool url_same_origin(const struct url *a, const struct url *b)
{
    if (a->scheme != b->scheme || a->port != b->port)
        return false;
    return a->scheme == URL_HTTP_UNIX ? str_equal(a->host, b->host)
                                      : str_equal_nocase(a->host, b->host);
}

/* The five components of RFC 3986, appendix B; a NULL pointer means "undefined". */
struct parts {
    struct str scheme;
    struct str authority;
    struct str path;
    struct str query;
    struct str fragment;
};

static struct parts split(struct str text)
{
    struct parts parts = {0};
    const char *end = text.ptr + text.len;
    const char *at = text.ptr;
    const char *colon = find_any(text, ":/?#");
    if (colon < end && *colon == ':' && colon > at && is_letter(*at)) {
        parts.scheme = slice(at, colon);
        at = colon + 1;
    }
    if (end - at >= 2 && at[0] == '/' && at[1] == '/') {
        const char *authority_end = find_any(slice(at + 2, end), "/?#");
        parts.authority = slice(at + 2, authority_end);
        at = authority_end;
    }
    const char *hash = find_any(slice(at, end), "#");
    const char *question = find_any(slice(at, hash), "?");
    parts.path = slice(at, question);
    if (question < hash)
        parts.query = slice(question + 1, hash);
    if (hash < end)
        parts.fragment = slice(hash + 1, end);
    return parts;
}

/* RFC 3986, 5.2.4, for a path that begins with "/": adds it without "." and ".." segments. */
static void add_without_dots(struct buf *out, struct str path)
{
    size_t start = out->len;
    const char *at = path.ptr, *end = path.ptr + path.len;
    while (at < end) {
        struct str segment = slice(at + 1, find_any(slice(at + 1, end), "/"));
        const char *next = segment.ptr + segment.len;
        bool is_up = str_equal(segment, (struct str){"..", 2});
        if (is_up)
            while (out->len > start && out->ptr[--out->len] != '/')
                ;
        if (!is_up && !str_equal(segment, (struct str){".", 1}))
            buf_add_str(out, slice(at, next));
        else if (next == end)
            buf_add_char(out, '/');
        at = next;
    }
}

/* RFC 3986, 5.2.3: the reference's path beside base's last segment. */
static void add_merged(struct buf *out, struct parts base, struct str path)
{
    struct buf merged = {0};
    size_t keep = base.path.len;
    while (keep > 0 && base.path.ptr[keep - 1] != '/')
        keep--;
    buf_add(&merged, base.path.ptr, keep);
    if (keep == 0)
        buf_add_char(&merged, '/');
    buf_add_str(&merged, path);
    add_without_dots(out, buf_str(&merged));
    buf_deinit(&merged);
}

static void add_path(struct buf *out, struct str path)
{
    if (path.len > 0 && path.ptr[0] == '/')
        add_without_dots(out, path);
    else
        buf_add_str(out, path); /* mailto:a, or none */
}

int url_resolve(struct buf *out, struct str base_text, struct str reference)
{
    struct parts base = split(base_text), ref = split(reference);
    if (base.scheme.ptr == NULL)
        return -EINVAL;
    bool has_own_place = ref.scheme.ptr != NULL || ref.authority.ptr != NULL;
    struct str authority = has_own_place ? ref.authority : base.authority;
    buf_add_str(out, ref.scheme.ptr != NULL ? ref.scheme : base.scheme);
    buf_add_char(out, ':');
    if (authority.ptr != NULL) {
        buf_add_text(out, "//");
        buf_add_str(out, authority);
    }
    struct str query = ref.query;
    if (has_own_place || (ref.path.len > 0 && ref.path.ptr[0] == '/')) {
        add_path(out, ref.path);
    } else if (ref.path.len > 0) {
        add_merged(out, base, ref.path);
    } else {
        buf_add_str(out, base.path);
        query = ref.query.ptr != NULL ? ref.query : base.query;
    }
    if (query.ptr != NULL) {
        buf_add_char(out, '?');
        buf_add_str(out, query);
    }
    struct str fragment = ref.fragment.ptr != NULL ? ref.fragment : base.fragment;
    if (fragment.ptr != NULL) {
        buf_add_char(out, '#');
        buf_add_str(out, fragment);
    }
    return 0;
}
