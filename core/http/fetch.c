#include "http/fetch.h"

#include "base/mem.h"
#include "http/coded_body.h"
#include "http/duplex.h"
#include "http/field.h"
#include "http/method.h"
#include "http/pool.h"
#include "http/proxy.h"
#include "http/upload.h"
#include "loop/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t fetch_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct fetch *fetch_new(struct pool *pool, void (*on_change)(struct fetch *fetch), void *owner)
{
    struct fetch *fetch = MEM_NEW(struct fetch);
    fetch->pool = pool;
    fetch->loop = pool_loop(pool);
    fetch->on_change = on_change;
    fetch->owner = owner;
    link_init(&fetch->link);
    fetch->message.max_headers = FETCH_HEADERS_MAX;
    message_reset(&fetch->message);
    return fetch;
}

static void let_go(struct fetch *fetch)
{
    timer_stop(fetch->loop, &fetch->deadline);
    if (fetch->carrier != NULL)
        fetch->carrier->cancel(fetch);
    fetch->carrier = NULL;
}

void fetch_free(struct fetch *fetch)
{
    if (fetch == NULL)
        return;
    let_go(fetch);
    duplex_release(fetch->duplex);
    upload_free(fetch);
    message_deinit(&fetch->message);
    proxy_free(fetch->proxy);
    buf_deinit(&fetch->url_text);
    buf_deinit(&fetch->head);
    buf_deinit(&fetch->answer_head);
    buf_deinit(&fetch->answer_body);
    buf_deinit(&fetch->interim);
    buf_deinit(&fetch->tls);
    buf_deinit(&fetch->trailers);
    coded_body_free(fetch);
    free(fetch);
}

/* ---- the request ---- */

/* RFC 9110, 5.5: no control character but the tab, no white space around it. */
static bool is_field_value(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool refuse(const char **reason, const char *text)
{
    *reason = text;
    return false;
}

bool fetch_use_proxy(struct fetch *fetch, struct str text, const char **reason)
{
    fetch->proxy = proxy_new(text, reason);
    return fetch->proxy != NULL;
}

static void settle_proxy(struct fetch *fetch)
{
    if (fetch->url.scheme == URL_HTTP_UNIX) {
        proxy_free(fetch->proxy);
        fetch->proxy = NULL;
        return;
    }
    fetch->is_forwarded = fetch->url.scheme == URL_HTTP && fetch->proxy->kind == PROXY_HTTP;
}

bool fetch_request(struct fetch *fetch, struct str method, struct str url, const char **reason)
{
    struct url_error error;
    int number = method_of(method);
    if (number < 0 || number == METHOD_CONNECT)
        return refuse(reason, "this method cannot be sent");
    buf_add_str(&fetch->url_text, url);
    if (url_parse(buf_str(&fetch->url_text), &fetch->url, &error) != 0)
        return refuse(reason, error.reason);
    fetch->method = (uint8_t)number;
    fetch->is_idempotent = number == METHOD_GET || number == METHOD_HEAD || number == METHOD_PUT ||
                           number == METHOD_DELETE || number == METHOD_OPTIONS ||
                           number == METHOD_TRACE;
    buf_add_str(&fetch->head, method);
    buf_add_char(&fetch->head, ' ');
    if (fetch->proxy != NULL)
        settle_proxy(fetch);
    if (fetch->is_forwarded) { /* RFC 9112, 3.2.2 */
        buf_add_text(&fetch->head, "http://");
        url_add_host(&fetch->head, &fetch->url);
    }
    url_add_target(&fetch->head, &fetch->url);
    buf_add_text(&fetch->head, " HTTP/1.1\r\n");
    fetch->line_bytes = fetch->head.len;
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

bool fetch_header(struct fetch *fetch, struct str name, struct str value, const char **reason)
{
    if (!field_is_name(name))
        return refuse(reason, "the name of a header field holds a character that may not be there");
    if (!is_field_value(value))
        return refuse(reason, "the value of a header field holds a control character");
    if (is_name(name, "content-length") || is_name(name, "transfer-encoding") ||
        is_name(name, "trailer") || is_name(name, "upgrade"))
        return refuse(reason, "this header field follows from the body and cannot be set");
    if (is_name(name, "host")) {
        if (fetch->has_host)
            return refuse(reason, "there can be one Host field only");
        if (!url_is_host(value))
            return refuse(reason,
                          "the Host field is no host name or address with an optional port");
        fetch->has_host = true;
    } else if (is_name(name, "user-agent")) {
        fetch->has_user_agent = true;
    } else if (is_name(name, "accept")) {
        fetch->has_accept = true;
    } else if (is_name(name, "expect")) {
        return refuse(reason, "this header field is sent by the option expect alone");
    } else if (is_name(name, "via")) { /* a gateway adds nothing of its own */
        fetch->has_user_agent = fetch->has_accept = fetch->is_raw = true;
    } else if (is_name(name, "connection")) {
        fetch->wants_close = holds_close(value);
    } else if (is_name(name, "proxy-authorization")) {
        if (fetch->proxy != NULL && !fetch->is_forwarded)
            return refuse(reason, "Proxy-Authorization would go through the proxy to the server; "
                                  "write user and password into the proxy's URL");
        fetch->has_proxy_authorization = true;
    }
    buf_add_str(&fetch->head, name);
    buf_add_text(&fetch->head, ": ");
    buf_add_str(&fetch->head, value);
    buf_add_text(&fetch->head, "\r\n");
    if (fetch->head.len - fetch->line_bytes > FETCH_HEAD_MAX)
        return refuse(reason, "the header fields are too long");
    return true;
}

static void add_framing(struct fetch *fetch)
{
    struct buf *head = &fetch->head;
    const struct upload *upload = fetch->upload;
    bool is_stream = upload != NULL && upload->is_stream;
    /* RFC 9110, 8.6: these methods are expected to have a body. */
    bool has_body = fetch->body.ptr != NULL || is_stream || fetch->method == METHOD_POST ||
                    fetch->method == METHOD_PUT || fetch->method == METHOD_PATCH;
    if (upload != NULL && upload->expect_ms != 0)
        buf_add_text(head, "Expect: 100-continue\r\n");
    if (is_stream && upload->length == UPLOAD_CHUNKED) {
        buf_add_text(head, "Transfer-Encoding: chunked\r\n");
    } else if (has_body) {
        buf_add_text(head, "Content-Length: ");
        buf_add_u64(head, is_stream ? upload->length : fetch->body.len);
        buf_add_text(head, "\r\n");
    }
}

static void finish_head(struct fetch *fetch)
{
    struct buf *head = &fetch->head;
    if (!fetch->has_host) {
        buf_add_text(head, "Host: ");
        url_add_host(head, &fetch->url);
        buf_add_text(head, "\r\n");
    }
    if (fetch->is_forwarded && !fetch->has_proxy_authorization)
        proxy_add_authorization(head, fetch->proxy);
    if (!fetch->has_user_agent)
        buf_add_text(head, "User-Agent: moonloop/" MOONLOOP_VERSION "\r\n");
    if (!fetch->has_accept)
        buf_add_text(head, "Accept: */*\r\n");
    add_framing(fetch);
    buf_add_text(head, "\r\n");
}

static void on_deadline(struct timer *timer)
{
    struct fetch *fetch = LIST_ENTRY(timer, struct fetch, deadline);
    struct buf detail = {0};
    char reason[sizeof(fetch->reason)];
    if (fetch->carrier != NULL && fetch->carrier->describe != NULL)
        fetch->carrier->describe(fetch, &detail);
    snprintf(reason, sizeof(reason), "the time is up%s%.*s", detail.len != 0 ? "; " : "",
             (int)detail.len, detail.len != 0 ? detail.ptr : "");
    buf_deinit(&detail);
    fetch_fail(fetch, FETCH_TIMEOUT, reason);
}

void fetch_start(struct fetch *fetch, struct str body, uint64_t timeout_ms)
{
    fetch->body = body;
    fetch->timing.began = fetch_now_us();
    finish_head(fetch);
    loop_update_time(
        fetch->loop); /* whoever calls may have computed for longer than the deadline */
    if (timeout_ms != 0)
        timer_start(fetch->loop, &fetch->deadline, timeout_ms, on_deadline);
    pool_submit(fetch->pool, fetch);
}

void fetch_limit(struct fetch *fetch, uint64_t timeout_ms)
{
    timer_stop(fetch->loop, &fetch->deadline);
    if (timeout_ms != 0 && !fetch_is_over(fetch))
        timer_start(fetch->loop, &fetch->deadline, timeout_ms, on_deadline);
}

/* ---- the answer ---- */

enum fetch_stage fetch_stage(const struct fetch *fetch)
{
    return fetch->carrier != NULL ? fetch->carrier->stage(fetch) : fetch->stage;
}

bool fetch_is_over(const struct fetch *fetch)
{
    return fetch->stage == FETCH_DONE || fetch->stage == FETCH_FAILED;
}

const char *fetch_stage_text(enum fetch_stage stage)
{
    static const char *const texts[] = {
        "before it began",
        "while waiting for a connection",
        "while resolving the name",
        "while connecting",
        "in the TLS handshake",
        "while sending the request",
        "while waiting for the answer",
        "while reading the body",
        "when it was done",
        "after it had failed",
    };
    return texts[stage];
}

static void settle(struct fetch *fetch, enum fetch_stage stage)
{
    timer_stop(fetch->loop, &fetch->deadline);
    if (fetch->upload != NULL)
        timer_stop(fetch->loop, &fetch->upload->timer);
    coded_body_free(fetch);
    fetch->stage = stage;
    fetch->body = (struct str){0};
    fetch->body_sent = 0;
    buf_deinit(&fetch->head);
    fetch->timing.total = fetch_now_us() - fetch->timing.began;
}

static void set_failure(struct fetch *fetch, enum fetch_error error, const char *reason)
{
    fetch->failed_stage = fetch_stage(fetch);
    fetch->error = error;
    if (reason != fetch->reason)
        snprintf(fetch->reason, sizeof(fetch->reason), "%s", reason);
    let_go(fetch);
    settle(fetch, FETCH_FAILED);
}

void fetch_changed(struct fetch *fetch)
{
    fetch->on_change(fetch);
}

void fetch_end(struct fetch *fetch)
{
    fetch->stage = FETCH_READING;
    if (fetch->coded != NULL && !coded_body_end(fetch))
        set_failure(fetch, fetch->error, fetch->reason);
    else if (fetch->coded == NULL)
        settle(fetch, FETCH_DONE);
    fetch->on_change(fetch);
}

void fetch_fail(struct fetch *fetch, enum fetch_error error, const char *reason)
{
    set_failure(fetch, error, reason);
    fetch->on_change(fetch);
}

void fetch_break(struct fetch *fetch, enum fetch_error error, const char *reason)
{
    set_failure(fetch, error, reason);
}

void fetch_orphan(struct fetch *fetch)
{
    set_failure(fetch, FETCH_CLOSED, "the client was closed");
}

void fetch_got_head(struct fetch *fetch, const char *base)
{
    buf_add(&fetch->answer_head, base, fetch->message.head_len);
    fetch->timing.first_byte = fetch_now_us() - fetch->timing.began;
    upload_answered(fetch);
}

bool fetch_got_interim(struct fetch *fetch, const char *base)
{
    const struct message *message = &fetch->message;
    fetch->interim_bytes += message->head_len;
    if (fetch->interim_bytes > FETCH_HEAD_MAX)
        return false;
    if (message->status == 100) {
        upload_asked(fetch);
        return true;
    }
    buf_printf(&fetch->interim, "%u\n", message->status);
    for (uint32_t i = 0; i < message->nheaders; i++) {
        const struct header_slice *header = &message->headers[i];
        buf_add(&fetch->interim, base + header->name.at, header->name.len);
        buf_add_text(&fetch->interim, ": ");
        buf_add(&fetch->interim, base + header->value.at, header->value.len);
        buf_add_char(&fetch->interim, '\n');
    }
    buf_add_char(&fetch->interim, '\n');
    return true;
}

bool fetch_has_interim(const struct fetch *fetch)
{
    return fetch->wants_interim && fetch->interim.len > fetch->interim_told;
}

struct str fetch_take_interim(struct fetch *fetch)
{
    struct str all = buf_str(&fetch->interim);
    struct str news = {all.ptr + fetch->interim_told, all.len - fetch->interim_told};
    fetch->interim_told = all.len;
    return news;
}

static bool refuse_body(struct fetch *fetch, const char *reason)
{
    fetch->error = FETCH_TOO_LARGE;
    snprintf(fetch->reason, sizeof(fetch->reason), "%s", reason);
    return false;
}

static bool is_too_large(const struct fetch *fetch, uint64_t more)
{
    return fetch->max_body != 0 &&
           fetch->taken_bytes + fetch->answer_body.len + more > fetch->max_body;
}

void fetch_begin_body(struct fetch *fetch)
{
    if (fetch->message.has_content_coding && !fetch->is_raw)
        coded_body_begin(fetch);
}

bool fetch_got_body(struct fetch *fetch, const char *bytes, size_t len)
{
    fetch->came_bytes += len;
    if (fetch->coded != NULL)
        return coded_body_add(fetch, (struct str){bytes, len});
    if (is_too_large(fetch, len))
        return refuse_body(fetch, "the body is larger than max_body");
    if (buf_try_reserve(&fetch->answer_body, len) != 0)
        return refuse_body(fetch, "there is no memory for the body");
    buf_add(&fetch->answer_body, bytes, len);
    return true;
}

char *fetch_body_room(struct fetch *fetch, size_t bytes)
{
    if (fetch->coded != NULL || buf_try_reserve(&fetch->answer_body, bytes) != 0)
        return NULL;
    return fetch->answer_body.ptr + fetch->answer_body.len;
}

bool fetch_filled_body(struct fetch *fetch, size_t bytes)
{
    fetch->came_bytes += bytes;
    if (is_too_large(fetch, bytes))
        return refuse_body(fetch, "the body is larger than max_body");
    fetch->answer_body.len += bytes;
    return true;
}

/* There is room for more. */
static void go_on(struct fetch *fetch)
{
    bool was_coded = fetch->coded != NULL;
    if (was_coded && !coded_body_go_on(fetch))
        set_failure(fetch, fetch->error, fetch->reason);
    else if (was_coded && fetch->coded == NULL)
        settle(fetch, FETCH_DONE);
    else if (fetch->carrier != NULL)
        fetch->carrier->go_on(fetch);
}

void fetch_want_whole(struct fetch *fetch, uint64_t max_body)
{
    fetch->max_body = max_body;
    bool is_known = fetch->message.has_length && fetch->message.content_length > max_body &&
                    !fetch_is_over(fetch) && !fetch->is_decoded;
    if (is_known || is_too_large(fetch, 0))
        set_failure(fetch, FETCH_TOO_LARGE, "the body is larger than max_body");
    else
        go_on(fetch);
}

void fetch_take_body(struct fetch *fetch, size_t bytes)
{
    fetch->taken_bytes += bytes;
    buf_consume(&fetch->answer_body, bytes);
    go_on(fetch);
}

void fetch_move_body(struct fetch *fetch, struct buf *bytes)
{
    struct buf all = fetch->answer_body;
    bytes->len = 0;
    fetch->answer_body = *bytes;
    *bytes = all;
    fetch->taken_bytes += all.len;
    go_on(fetch);
}

bool fetch_has_progress(const struct fetch *fetch)
{
    uint64_t news = fetch->came_bytes - fetch->told_bytes;
    return fetch->told_us != 0 && news != 0 &&
           (news >= FETCH_PROGRESS_BYTES || fetch_now_us() - fetch->told_us >= FETCH_PROGRESS_US);
}

void fetch_take_progress(struct fetch *fetch)
{
    fetch->told_bytes = fetch->came_bytes;
    fetch->told_us = fetch_now_us();
}

bool fetch_has_room(const struct fetch *fetch)
{
    if (fetch->coded != NULL && !coded_body_has_room(fetch))
        return false;
    return fetch->max_body != 0 || fetch->answer_body.len <= FETCH_AHEAD_MAX;
}

void fetch_decode_more(struct fetch *fetch)
{
    go_on(fetch);
    fetch->on_change(fetch);
}
