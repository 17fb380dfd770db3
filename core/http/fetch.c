#include "http/fetch.h"

#include "base/mem.h"
#include "http/coded_body.h"
#include "http/duplex.h"
#include "http/method.h"
#include "http/outgoing.h"
#include "http/pool_state.h"
#include "http/upload.h"
#include "loop/loop.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SPARE_BYTES_MAX = 16 * 1024, /* of each buf that is kept for the next exchange */
    PROMPT_MS = 2,
    COARSE_MIN_MS = 5000,
    COARSE_MAX_MS = 120000,
};

uint64_t fetch_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct fetch *fetch_new(struct pool *pool, struct outgoing *request)
{
    struct fetch *fetch = pool_take_spare(pool);
    if (fetch == NULL) {
        fetch = MEM_NEW(struct fetch);
        fetch->message.max_headers = FETCH_HEADERS_MAX;
    }
    fetch->pool = pool;
    fetch->loop = pool_loop(pool);
    fetch->request = outgoing_ref(request);
    fetch->is_raw = request->is_raw;
    link_init(&fetch->link);
    deadline_init(&fetch->coarse_deadline);
    message_reset(&fetch->message);
    return fetch;
}

static void stop_deadline(struct fetch *fetch)
{
    timer_stop(fetch->loop, &fetch->deadline);
    deadline_stop(&fetch->coarse_deadline);
}

static void let_go(struct fetch *fetch)
{
    stop_deadline(fetch);
    if (fetch->carrier != NULL)
        fetch->carrier->cancel(fetch);
    fetch->carrier = NULL;
}

void fetch_free_spare(struct fetch *fetch)
{
    message_deinit(&fetch->message);
    buf_deinit(&fetch->head);
    buf_deinit(&fetch->answer_head);
    buf_deinit(&fetch->answer_body);
    buf_deinit(&fetch->interim);
    buf_deinit(&fetch->trailers);
    buf_deinit(&fetch->tls);
    free(fetch);
}

static void empty(struct buf *buf)
{
    if (buf->cap > SPARE_BYTES_MAX)
        buf_deinit(buf);
    buf->len = 0;
}

void fetch_free(struct fetch *fetch)
{
    if (fetch == NULL)
        return;
    struct pool *pool = fetch->pool;
    let_go(fetch);
    duplex_release(fetch->duplex);
    upload_free(fetch);
    coded_body_free(fetch);
    outgoing_unref(fetch->request);
    memset(fetch, 0, offsetof(struct fetch, head));
    empty(&fetch->head);
    empty(&fetch->answer_head);
    empty(&fetch->answer_body);
    empty(&fetch->interim);
    empty(&fetch->trailers);
    empty(&fetch->tls);
    fetch->reason[0] = '\0';
    if (pool != NULL)
        pool_give_spare(pool, fetch);
    else
        fetch_free_spare(fetch);
}

/* ---- the request ---- */

static void add_framing(struct fetch *fetch)
{
    struct buf *head = &fetch->head;
    const struct upload *upload = fetch->upload;
    int method = fetch->request->method;
    bool is_stream = upload != NULL && upload->is_stream;
    /* RFC 9110, 8.6: these methods are expected to have a body. */
    bool has_body = fetch->body.ptr != NULL || is_stream || method == METHOD_POST ||
                    method == METHOD_PUT || method == METHOD_PATCH;
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

static void write_head(struct fetch *fetch)
{
    struct buf *head = &fetch->head;
    buf_add_str(head, buf_str(&fetch->request->head));
    add_framing(fetch);
    buf_add_text(head, "\r\n");
}

/* Says with it what its carrier was at. */
static void fail_late(struct fetch *fetch)
{
    struct buf detail = {0};
    char reason[sizeof(fetch->reason)];
    if (fetch->carrier != NULL && fetch->carrier->describe != NULL)
        fetch->carrier->describe(fetch, &detail);
    snprintf(reason, sizeof(reason), "the time is up%s%.*s", detail.len != 0 ? "; " : "",
             (int)detail.len, detail.len != 0 ? detail.ptr : "");
    buf_deinit(&detail);
    fetch_fail(fetch, FETCH_TIMEOUT, reason);
}

static void on_deadline(struct timer *timer)
{
    fail_late(LIST_ENTRY(timer, struct fetch, deadline));
}

static void on_coarse_deadline(struct deadline *deadline)
{
    fail_late(LIST_ENTRY(deadline, struct fetch, coarse_deadline));
}

/* Long ones that many share, such as the default, are no timers: there are few different ones, and
 * they hardly ever strike. */
static void start_deadline(struct fetch *fetch, uint64_t timeout_ms)
{
    if (timeout_ms % 1000 == 0 && timeout_ms >= COARSE_MIN_MS && timeout_ms <= COARSE_MAX_MS)
        deadline_start(deadline_queue(fetch->loop, timeout_ms), &fetch->coarse_deadline,
                       on_coarse_deadline);
    else if (timeout_ms != 0)
        timer_start_us(fetch->loop, &fetch->deadline, timeout_ms * 1000, on_deadline);
}

/* False under virtual time. */
static bool is_prompt(const struct fetch *fetch)
{
    uint64_t now_ms = fetch->timing.began / 1000, turn_ms = loop_now_ms(fetch->loop);
    return now_ms >= turn_ms && now_ms - turn_ms <= PROMPT_MS;
}

void fetch_start(struct fetch *fetch, struct str body, uint64_t timeout_ms)
{
    fetch->body = body;
    fetch->timing.began = fetch_now_us();
    fetch->is_prompt = is_prompt(fetch);
    write_head(fetch);
    if (!fetch->is_prompt) /* whoever calls may have computed for longer than the deadline */
        loop_update_time(fetch->loop);
    start_deadline(fetch, timeout_ms);
    pool_submit(fetch->pool, fetch);
}

void fetch_limit(struct fetch *fetch, uint64_t timeout_ms)
{
    stop_deadline(fetch);
    if (!fetch_is_over(fetch))
        start_deadline(fetch, timeout_ms);
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

bool fetch_is_all_in_head(const struct fetch *fetch)
{
    const struct fetch_timing *timing = &fetch->timing;
    return fetch->stage == FETCH_DONE && fetch->interim.len == 0 && fetch->trailers.len == 0 &&
           !fetch->is_decoded && fetch->duplex == NULL && !fetch->wants_tls &&
           (timing->dns | timing->connect | timing->tls) == 0;
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

/* Head and end of an answer often come in one read. */
static uint64_t elapsed_us(struct fetch *fetch)
{
    if (fetch->read_us == 0)
        fetch->read_us = fetch_now_us();
    return fetch->read_us - fetch->timing.began;
}

static void settle(struct fetch *fetch, enum fetch_stage stage)
{
    stop_deadline(fetch);
    if (fetch->upload != NULL)
        timer_stop(fetch->loop, &fetch->upload->timer);
    coded_body_free(fetch);
    fetch->stage = stage;
    fetch->body = (struct str){0};
    fetch->body_sent = 0;
    fetch->timing.total = elapsed_us(fetch);
}

static void set_failure(struct fetch *fetch, enum fetch_error error, const char *reason)
{
    fetch->read_us = 0;
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
    fetch->pool = NULL;
}

void fetch_got_head(struct fetch *fetch, const char *base)
{
    buf_add(&fetch->answer_head, base, fetch->message.head_len);
    fetch->timing.first_byte = elapsed_us(fetch);
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

size_t fetch_ahead_max(const struct fetch *fetch)
{
    return fetch->ahead_max != 0 ? fetch->ahead_max : FETCH_AHEAD_MAX;
}

bool fetch_has_room(const struct fetch *fetch)
{
    if (fetch->coded != NULL && !coded_body_has_room(fetch))
        return false;
    return fetch->max_body != 0 || fetch->answer_body.len <= fetch_ahead_max(fetch);
}

void fetch_decode_more(struct fetch *fetch)
{
    go_on(fetch);
    fetch->on_change(fetch);
}
