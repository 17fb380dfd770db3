/*
 * Forward proxies: what their URLs may be, and the answers of a SOCKS proxy: the same end whole and
 * byte by byte, with the same bytes sent and the same left for the target.
 *
 * Input: the URL of a proxy, a line end, the bytes that the proxy sends.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "http/proxy.h"
#include "http/socks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct outcome {
    enum socks_result result;
    struct buf sent;
    struct buf left;
};

static struct outcome converse(const struct proxy *proxy, struct str bytes, size_t step)
{
    struct outcome outcome = {.result = SOCKS_MORE};
    struct socks socks = {0};
    socks_begin(&socks, proxy, "example.org", 443, &outcome.sent);
    for (size_t at = 0; at < bytes.len; at += step) {
        size_t piece = bytes.len - at < step ? bytes.len - at : step;
        buf_add(&outcome.left, bytes.ptr + at, piece);
        if (outcome.result == SOCKS_MORE)
            outcome.result = socks_feed(&socks, &outcome.left, &outcome.sent);
    }
    ENSURE(outcome.result == SOCKS_MORE || outcome.result == SOCKS_READY || socks.reason != NULL);
    ENSURE(outcome.left.len <= bytes.len);
    return outcome;
}

static void compare(const struct proxy *proxy, struct str bytes)
{
    struct outcome whole = converse(proxy, bytes, bytes.len != 0 ? bytes.len : 1);
    struct outcome cut = converse(proxy, bytes, 1);
    ENSURE(whole.result == cut.result);
    ENSURE(str_equal(buf_str(&whole.sent), buf_str(&cut.sent)));
    if (whole.result == SOCKS_READY)
        ENSURE(str_equal(buf_str(&whole.left), buf_str(&cut.left)));
    buf_deinit(&whole.sent);
    buf_deinit(&whole.left);
    buf_deinit(&cut.sent);
    buf_deinit(&cut.left);
}

/* One line, whatever is in the URL. */
static void check_authorization(const struct proxy *proxy)
{
    struct buf out = {0};
    proxy_add_authorization(&out, proxy);
    ENSURE((out.len != 0) == (proxy->user != NULL));
    if (out.len != 0) {
        const char *end = memchr(out.ptr, '\r', out.len);
        ENSURE(end == out.ptr + out.len - 2 && memchr(out.ptr, '\n', out.len) == end + 1);
    }
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data, *reason = NULL;
    if (len == 0 || len > INPUT_MAX)
        return 0;
    const char *line_end = memchr(text, '\n', len);
    struct str url = {text, line_end != NULL ? (size_t)(line_end - text) : len};
    struct proxy *proxy = proxy_new(url, &reason);
    if (proxy == NULL) {
        ENSURE(reason != NULL);
        return 0;
    }
    ENSURE(proxy->port != 0 && proxy->host[0] != '\0');
    ENSURE((proxy->user == NULL) == (proxy->password == NULL));
    ENSURE(strpbrk(proxy->host, " \r\n\t") == NULL);
    check_authorization(proxy);
    if (line_end != NULL)
        compare(proxy, (struct str){line_end + 1, len - url.len - 1});
    proxy_free(proxy);
    return 0;
}
