/*
 * URLs, references to them, query strings, cookies and percent-encoding: parts lie within the text,
 * nothing that is accepted can break out of a request line or a Host field, and what is written
 * reads as the same again.
 *
 * Input: a URL, a line end, what else there is (a reference, a query).
 */
#include "base/buf.h"
#include "base/mem.h"
#include "http/query.h"
#include "http/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_within(struct str part, struct str text)
{
    if (part.len != 0)
        ENSURE(part.ptr >= text.ptr && part.ptr + part.len <= text.ptr + text.len);
}

static void check_clean(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        ENSURE((unsigned char)text.ptr[i] > ' ' && text.ptr[i] != 0x7f);
}

/* "http://" with its host and target: the same place, and written the same. */
static void check_again(const struct url *url, struct str host, struct str target)
{
    struct buf text = {0}, host_again = {0}, target_again = {0};
    struct url again;
    struct url_error error;
    buf_printf(&text, "%s://", url->scheme == URL_HTTPS ? "https" : "http");
    buf_add_str(&text, host);
    buf_add_str(&text, target);
    ENSURE(url_parse(buf_str(&text), &again, &error) == 0);
    ENSURE(url_same_origin(url, &again) && again.is_ipv6 == url->is_ipv6 && !again.has_userinfo);
    ENSURE(again.fragment.len == 0 && again.has_query == url->has_query);
    url_add_host(&host_again, &again);
    url_add_target(&target_again, &again);
    ENSURE(str_equal(host, buf_str(&host_again)) && str_equal(target, buf_str(&target_again)));
    buf_deinit(&text);
    buf_deinit(&host_again);
    buf_deinit(&target_again);
}

static void check_url(struct str text)
{
    struct url url;
    struct url_error error;
    if (url_parse(text, &url, &error) != 0) {
        ENSURE(error.reason != NULL && error.offset <= text.len);
        return;
    }
    check_within(url.host, text);
    check_within(url.path, text);
    check_within(url.query, text);
    check_within(url.userinfo, text);
    check_within(url.fragment, text);
    struct buf host = {0}, target = {0};
    url_add_host(&host, &url);
    url_add_target(&target, &url);
    check_clean(buf_str(&host));
    check_clean(buf_str(&target));
    ENSURE(target.ptr[0] == '/' && url_is_host(buf_str(&host)));
    if (url.scheme != URL_HTTP_UNIX)
        check_again(&url, buf_str(&host), buf_str(&target));
    buf_deinit(&host);
    buf_deinit(&target);
}

/* Of two good URLs the one that is absolute wins. */
static void check_reference(struct str base, struct str reference)
{
    struct url from, to, parsed;
    struct url_error error;
    struct buf out = {0};
    int status = url_resolve(&out, base, reference);
    if (status == 0 && url_parse(base, &from, &error) == 0) {
        ENSURE(out.len <= base.len + reference.len + 8);
        if (url_parse(reference, &to, &error) == 0) {
            ENSURE(url_parse(buf_str(&out), &parsed, &error) == 0);
            ENSURE(url_same_origin(&parsed, &to));
        }
        if (reference.len == 0) {
            ENSURE(url_parse(buf_str(&out), &parsed, &error) == 0);
            ENSURE(url_same_origin(&parsed, &from));
        }
    }
    buf_deinit(&out);
}

static void check_percent(struct str text, int mode)
{
    struct buf encoded = {0};
    char *decoded = mem_zeroed(text.len * 3 + 1);
    ENSURE(percent_decode(decoded, text, mode) <= text.len);
    percent_add(&encoded, text, mode);
    check_clean(buf_str(&encoded));
    ENSURE(percent_is_valid(buf_str(&encoded)));
    size_t len = percent_decode(decoded, buf_str(&encoded), mode);
    ENSURE(str_equal((struct str){decoded, len}, text));
    free(decoded);
    buf_deinit(&encoded);
}

static void check_cursors(struct str text)
{
    struct query_cursor query;
    struct cookie_cursor cookies;
    size_t bytes = 0;
    query_begin(&query, text);
    while (query_next(&query)) {
        check_within(query.name, text);
        check_within(query.value, text);
        bytes += query.name.len + query.value.len;
        ENSURE(bytes <= text.len && (query.name.len != 0 || query.has_value));
    }
    cookie_begin(&cookies, text);
    while (cookie_next(&cookies)) {
        check_within(cookies.name, text);
        check_within(cookies.value, text);
        ENSURE(cookies.name.len != 0 && memchr(cookies.name.ptr, ';', cookies.name.len) == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data;
    if (len == 0 || len > INPUT_MAX)
        return 0;
    const char *line_end = memchr(text, '\n', len);
    struct str url = {text, line_end != NULL ? (size_t)(line_end - text) : len};
    struct str rest = {text + url.len, len - url.len};
    if (line_end != NULL)
        rest = (struct str){line_end + 1, rest.len - 1};
    check_url(url);
    check_reference(url, rest);
    check_percent(rest, PERCENT_PLAIN);
    check_percent(rest, PERCENT_FORM);
    check_cursors(rest);
    return 0;
}
