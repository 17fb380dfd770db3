#include "http/proxy.h"

#include "base/mem.h"
#include "http/query.h"
#include "http/url.h"

#include <stdlib.h>
#include <string.h>

enum { SOCKS_PORT = 1080, SOCKS_CREDENTIAL_MAX_BYTES = 255 };

static const struct {
    const char *prefix;
    int kind;
} kinds[] = {
    {"http://", PROXY_HTTP},
    {"socks5://", PROXY_SOCKS},
    {"socks5h://", PROXY_SOCKS},
};

static bool has_prefix(struct str text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && str_equal_nocase((struct str){text.ptr, len}, str_of(prefix));
}

static bool holds(struct str text, const char *part)
{
    return text.len != 0 && memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

/* The kind, with `text` cut to what follows the scheme; -1 for another scheme. */
static int take_scheme(struct str *text)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        size_t len = strlen(kinds[i].prefix);
        if (has_prefix(*text, kinds[i].prefix)) {
            *text = (struct str){text->ptr + len, text->len - len};
            return kinds[i].kind;
        }
    }
    return holds(*text, "://") ? -1 : PROXY_HTTP;
}

static char *copy(struct str text)
{
    char *out = mem_zeroed(text.len + 1);
    if (text.len != 0)
        memcpy(out, text.ptr, text.len);
    return out;
}

static char *decode(struct str text)
{
    char *out = mem_zeroed(text.len + 1);
    out[percent_decode(out, text, PERCENT_PLAIN)] = '\0';
    return out;
}

/* Neither a control character nor a NUL, which would cut it. */
static bool is_printable(struct str encoded)
{
    char *out = mem_zeroed(encoded.len + 1);
    size_t len = percent_decode(out, encoded, PERCENT_PLAIN);
    bool is_good = true;
    for (size_t i = 0; i < len; i++)
        is_good &= (unsigned char)out[i] >= 0x20 && out[i] != 0x7f;
    free(out);
    return is_good;
}

static const char *take_userinfo(struct proxy *proxy, struct str userinfo)
{
    if (!is_printable(userinfo))
        return "user and password hold a control character";
    const char *colon = memchr(userinfo.ptr, ':', userinfo.len);
    const char *end = userinfo.ptr + userinfo.len;
    size_t user_len = (size_t)((colon != NULL ? colon : end) - userinfo.ptr);
    struct str password = {end, 0};
    if (colon != NULL)
        password = (struct str){colon + 1, (size_t)(end - colon) - 1};
    proxy->user = decode((struct str){userinfo.ptr, user_len});
    proxy->password = decode(password);
    if (proxy->kind == PROXY_HTTP && strchr(proxy->user, ':') != NULL)
        return "the user holds a colon, which basic authentication cannot send";
    if (proxy->kind == PROXY_SOCKS && (strlen(proxy->user) > SOCKS_CREDENTIAL_MAX_BYTES ||
                                       strlen(proxy->password) > SOCKS_CREDENTIAL_MAX_BYTES))
        return "SOCKS takes at most 255 bytes of user and of password";
    return NULL;
}

static char *name_of(const struct proxy *proxy, const struct url *url)
{
    struct buf name = {0};
    buf_add_text(&name, proxy->kind == PROXY_SOCKS ? "socks5://" : "http://");
    buf_add_text(&name, url->is_ipv6 ? "[" : "");
    buf_add_str(&name, url->host);
    buf_printf(&name, url->is_ipv6 ? "]:%u" : ":%u", proxy->port);
    char *text = copy(buf_str(&name));
    buf_deinit(&name);
    return text;
}

/* `url` is the proxy's with http:// for its scheme. */
static const char *fill(struct proxy *proxy, const struct url *url)
{
    if ((url->path.len != 0 && !str_equal(url->path, str_of("/"))) || url->has_query ||
        url->fragment.len != 0)
        return "nothing may follow host and port";
    proxy->port = proxy->kind == PROXY_SOCKS && !url->has_port ? SOCKS_PORT : url->port;
    proxy->host = copy(url->host);
    proxy->name = name_of(proxy, url);
    return url->has_userinfo ? take_userinfo(proxy, url->userinfo) : NULL;
}

struct proxy *proxy_new(struct str text, const char **reason)
{
    struct str rest = text;
    struct buf url_text = {0};
    struct url url;
    struct url_error error;
    int kind = take_scheme(&rest);
    if (kind < 0) {
        *reason = has_prefix(text, "https://")
                      ? "TLS to a proxy is not supported; write http://, which does for https "
                        "targets as well: what goes through it stays encrypted"
                      : "the scheme is none of http, socks5, socks5h";
        return NULL;
    }
    struct proxy *proxy = MEM_NEW(struct proxy);
    proxy->kind = kind;
    proxy->text = copy(text);
    buf_add_text(&url_text, "http://");
    buf_add_str(&url_text, rest);
    *reason = url_parse(buf_str(&url_text), &url, &error) != 0 ? error.reason : fill(proxy, &url);
    buf_deinit(&url_text);
    if (*reason == NULL)
        return proxy;
    proxy_free(proxy);
    return NULL;
}

static void wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

void proxy_free(struct proxy *proxy)
{
    if (proxy == NULL)
        return;
    wipe(proxy->text);
    wipe(proxy->password);
    free(proxy->name);
    free(proxy->host);
    free(proxy->user);
    free(proxy);
}

static void add_base64(struct buf *out, struct str text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < text.len; i += 3) {
        size_t left = text.len - i;
        uint32_t three = (uint32_t)(unsigned char)text.ptr[i] << 16;
        three |= left > 1 ? (uint32_t)(unsigned char)text.ptr[i + 1] << 8 : 0;
        three |= left > 2 ? (uint32_t)(unsigned char)text.ptr[i + 2] : 0;
        buf_add_char(out, digits[three >> 18]);
        buf_add_char(out, digits[three >> 12 & 63]);
        buf_add_char(out, left > 1 ? digits[three >> 6 & 63] : '=');
        buf_add_char(out, left > 2 ? digits[three & 63] : '=');
    }
}

void proxy_add_authorization(struct buf *out, const struct proxy *proxy)
{
    struct buf plain = {0};
    if (proxy->user == NULL)
        return;
    buf_add_text(&plain, proxy->user);
    buf_add_char(&plain, ':');
    buf_add_text(&plain, proxy->password);
    buf_add_text(out, "Proxy-Authorization: Basic ");
    add_base64(out, buf_str(&plain));
    buf_add_text(out, "\r\n");
    buf_deinit(&plain);
}
