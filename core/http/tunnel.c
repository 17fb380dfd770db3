#include "http/tunnel.h"

#include "base/mem.h"
#include "http/answer_head.h"
#include "http/answer_parser.h"
#include "http/proxy.h"
#include "http/socks.h"
#include "net/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tunnel {
    struct stream *stream;
    struct tunnel_target target;
    void (*on_done)(void *owner, const struct tunnel_result *result);
    void *owner;
    struct buf in; /* what the proxy has said and was not taken */
    size_t taken;  /* bytes of interim answers */
    struct answer_parser parser;
    struct message message;
    struct socks socks;
    struct tunnel_result result;
    uint64_t began_us;
    bool is_shaking_hands;
    char reason[sizeof(((struct fetch *)NULL)->reason)];
};

/* ---- the end ---- */

static void on_closed(void *owner)
{
    (void)owner; /* given up already */
}

static const struct stream_events given_up_events = {.on_close = on_closed};

static void free_tunnel(struct tunnel *tunnel)
{
    buf_deinit(&tunnel->in);
    message_deinit(&tunnel->message);
    free(tunnel);
}

static void give_up_stream(struct tunnel *tunnel)
{
    stream_set_owner(tunnel->stream, &given_up_events, NULL);
    stream_close(tunnel->stream);
    tunnel->stream = NULL;
}

static void finish(struct tunnel *tunnel)
{
    tunnel->result.stream = tunnel->stream;
    tunnel->result.reason = tunnel->reason;
    tunnel->on_done(tunnel->owner, &tunnel->result);
    free_tunnel(tunnel);
}

/* `what` and `detail` follow the name of the proxy. */
static void fail(struct tunnel *tunnel, enum fetch_error error, const char *what,
                 const char *detail)
{
    tunnel->result.error = error;
    snprintf(tunnel->reason, sizeof(tunnel->reason), "the proxy %s %s%s",
             tunnel->target.proxy->name, what, detail);
    give_up_stream(tunnel);
    finish(tunnel);
}

void tunnel_cancel(struct tunnel *tunnel)
{
    if (tunnel == NULL)
        return;
    give_up_stream(tunnel);
    free_tunnel(tunnel);
}

enum fetch_stage tunnel_stage(const struct tunnel *tunnel)
{
    return tunnel->is_shaking_hands ? FETCH_SHAKING_HANDS : FETCH_CONNECTING;
}

/* ---- through it ---- */

static void on_connect(void *owner, int status)
{
    struct tunnel *tunnel = owner;
    tunnel->result.tls_us = fetch_now_us() - tunnel->began_us - tunnel->result.connect_us;
    if (status != 0) {
        tunnel->result.error = FETCH_BAD_TLS;
        tunnel->result.had_ticket = stream_tls_had_ticket(tunnel->stream);
        snprintf(tunnel->reason, sizeof(tunnel->reason), "%s", stream_tls_reason(tunnel->stream));
        give_up_stream(tunnel);
    }
    finish(tunnel);
}

/* The proxy has the connection. */
static void go_through(struct tunnel *tunnel)
{
    if (tunnel->in.len != 0) {
        fail(tunnel, FETCH_PROTOCOL, "sent something before it was asked", "");
        return;
    }
    tunnel->result.connect_us = fetch_now_us() - tunnel->began_us;
    stream_read_stop(tunnel->stream);
    if (tunnel->target.tls == NULL) {
        finish(tunnel);
        return;
    }
    tunnel->is_shaking_hands = true;
    stream_start_tls(tunnel->stream, tunnel->target.tls, tunnel->target.host, tunnel->target.port);
}

/* False: it has failed. */
static bool send(struct tunnel *tunnel, struct buf *bytes)
{
    struct str piece = buf_str(bytes);
    int status = piece.len != 0 ? stream_write(tunnel->stream, &piece, 1) : 0;
    buf_deinit(bytes);
    if (status == 0)
        return true;
    fail(tunnel, FETCH_CLOSED, "closed the connection: ", strerror(-status));
    return false;
}

/* ---- CONNECT ---- */

static void add_connect(struct buf *out, const struct tunnel_target *target)
{
    char place[320];
    snprintf(place, sizeof(place), strchr(target->host, ':') != NULL ? "[%s]:%u" : "%s:%u",
             target->host, target->port);
    buf_printf(out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: moonloop/%s\r\n", place, place,
               MOONLOOP_VERSION);
    proxy_add_authorization(out, target->proxy);
    buf_add_text(out, "\r\n");
}

static void begin_answer(struct tunnel *tunnel)
{
    message_reset(&tunnel->message);
    answer_parser_begin(&tunnel->parser, &tunnel->message);
}

static void fail_refused(struct tunnel *tunnel)
{
    const struct message *message = &tunnel->message;
    const struct proxy *proxy = tunnel->target.proxy;
    const char *advice = "";
    char text[160];
    int phrase_len = message->reason.len < 64 ? (int)message->reason.len : 64;
    if (message->status == 407 || message->status == 401) /* tinyproxy's, for a wrong password */
        advice = proxy->user != NULL ? "; it does not take the user and password of its URL"
                                     : "; write user and password into its URL";
    int len =
        snprintf(text, sizeof(text), "%u%s%.*s%s", message->status, phrase_len != 0 ? " " : "",
                 phrase_len, tunnel->in.ptr + message->reason.at, advice);
    for (int i = 0; i < len && i < (int)sizeof(text) - 1; i++)
        if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] >= 0x7f)
            text[i] = '?';
    fail(tunnel, FETCH_REFUSED, "refuses to connect: ", text);
}

static void fail_malformed(struct tunnel *tunnel)
{
    const char *guess = tunnel->message.status == 0 ? answer_guess(buf_str(&tunnel->in)) : NULL;
    fail(tunnel, FETCH_PROTOCOL,
         "gives a malformed answer to CONNECT: ", guess != NULL ? guess : tunnel->parser.reason);
}

/* A head has come whole. True: it was an interim one, and another follows. */
static bool take_head(struct tunnel *tunnel, size_t len)
{
    uint16_t status = tunnel->message.status;
    if (status >= 300 || status == 101) {
        fail_refused(tunnel);
        return false;
    }
    buf_consume(&tunnel->in, len);
    tunnel->taken += len;
    if (status >= 200) {
        go_through(tunnel);
        return false;
    }
    begin_answer(tunnel);
    return true;
}

static void read_answer(struct tunnel *tunnel)
{
    size_t used;
    enum answer_result result;
    do {
        used = 0;
        result = answer_parser_feed(&tunnel->parser, tunnel->in.ptr, tunnel->in.len, &used);
        size_t len = result == ANSWER_DONE ? used : tunnel->in.len;
        if (result == ANSWER_TOO_MANY || tunnel->taken + len > FETCH_HEAD_MAX) {
            fail(tunnel, FETCH_TOO_LARGE, "answers CONNECT with a head of more than 64 KiB", "");
            return;
        }
        if (result == ANSWER_BAD) {
            fail_malformed(tunnel);
            return;
        }
    } while (result == ANSWER_DONE && take_head(tunnel, used));
}

/* ---- SOCKS ---- */

static void read_socks(struct tunnel *tunnel)
{
    struct buf out = {0};
    enum socks_result result = socks_feed(&tunnel->socks, &tunnel->in, &out);
    if (!send(tunnel, &out))
        return;
    if (result == SOCKS_READY)
        go_through(tunnel);
    else if (result == SOCKS_REFUSED)
        fail(tunnel, FETCH_REFUSED, "refuses to connect: ", tunnel->socks.reason);
    else if (result == SOCKS_MALFORMED)
        fail(tunnel, FETCH_PROTOCOL, "gives a malformed answer: ", tunnel->socks.reason);
}

/* ---- life ---- */

static void on_read(void *owner, char *bytes, ssize_t nread)
{
    struct tunnel *tunnel = owner;
    if (nread < 0) {
        fail(tunnel, FETCH_CLOSED,
             tunnel->in.len != 0 ? "closed the connection in the middle of its answer"
                                 : "closed the connection without an answer",
             "");
        return;
    }
    buf_add(&tunnel->in, bytes, (size_t)nread);
    if (tunnel->target.proxy->kind == PROXY_SOCKS)
        read_socks(tunnel);
    else
        read_answer(tunnel);
}

static const struct stream_events stream_events = {
    .on_connect = on_connect,
    .on_read = on_read,
    .on_close = on_closed,
};

struct tunnel *tunnel_start(struct stream *stream, const struct tunnel_target *target,
                            void (*on_done)(void *owner, const struct tunnel_result *result),
                            void *owner)
{
    struct tunnel *tunnel = MEM_NEW(struct tunnel);
    struct buf out = {0};
    tunnel->stream = stream;
    tunnel->target = *target;
    tunnel->on_done = on_done;
    tunnel->owner = owner;
    tunnel->began_us = fetch_now_us();
    tunnel->message.max_headers = FETCH_HEADERS_MAX;
    if (target->proxy->kind == PROXY_SOCKS) {
        socks_begin(&tunnel->socks, target->proxy, target->host, target->port, &out);
    } else {
        add_connect(&out, target);
        begin_answer(tunnel);
    }
    stream_set_owner(stream, &stream_events, tunnel);
    struct str piece = buf_str(&out);
    stream_write(stream, &piece, 1); /* a failure comes as the end when it is read from */
    buf_deinit(&out);
    stream_read_start(stream);
    return tunnel;
}
