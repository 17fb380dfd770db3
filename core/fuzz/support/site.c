#include "fuzz/support/site.h"

#include "base/config.h"
#include "base/mem.h"
#include "http/conn.h"
#include "http/forwarded.h"
#include "http/method.h"
#include "http/request.h"
#include "http/server.h"
#include "loop/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What the handler knows of a request. Of a connection there is one at a time. */
struct visit {
    struct request *request;
    struct buf body;
    char mode;
    bool is_late; /* all is there; answered by site_turn */
    bool is_begun;
    struct visit *next;
};

static struct {
    struct config config;
    struct loop *loop;
    struct http_server *server;
    struct visit *visits;
    struct buf journal;
    struct site_tally tally;
} site;

static void forget_visit(struct visit *visit)
{
    struct visit **at = &site.visits;
    while (*at != visit)
        at = &(*at)->next;
    *at = visit->next;
    buf_deinit(&visit->body);
    free(visit);
}

/* Of a body that is refused, how much came before is the reads' doing. */
static void note_end(struct visit *visit, const char *end, bool is_whole)
{
    if (is_whole)
        buf_add_str(&site.journal, buf_str(&visit->body));
    buf_printf(&site.journal, "(%s)\n", end);
}

static void answer(struct visit *visit, uint16_t status)
{
    struct request *request = visit->request;
    struct answer whole = {.status = status, .content_type = str_of("text/plain")};
    struct str body = buf_str(&visit->body);
    bool is_good = status == 200;
    if (is_good && body.len == 0)
        body = request_path(request);
    note_end(visit, is_good ? "done" : "refused", is_good);
    if (visit->mode == 'a' && is_good) {
        site.tally.cuts++;
        request_abort(request);
    } else if ((visit->mode == 's' && is_good) || visit->is_begun) {
        size_t half = body.len / 2;
        if (!visit->is_begun)
            request_begin(request, &whole, -1, (struct str){body.ptr, half});
        site.tally.cuts += !is_good;
        if (is_good) {
            request_write(request, (struct str){body.ptr + half, body.len - half});
            request_end(request);
        } else {
            request_abort(request);
        }
    } else {
        if (is_good)
            whole.body = body;
        request_answer(request, &whole);
    }
    forget_visit(visit);
}

static void finish(struct visit *visit, uint16_t status)
{
    if (visit->mode == 'l')
        visit->is_late = true; /* a good one or not: the state of the body says it again */
    else
        answer(visit, status);
}

static void settle(struct visit *visit)
{
    struct request *request = visit->request;
    bool takes = visit->mode == 't' || request->body_state != BODY_COMING;
    struct str body = request_body(request);
    if (takes && body.len != 0) {
        buf_add_str(&visit->body, body);
        request_take_body(request, body.len);
    }
    ENSURE(visit->body.len <= SITE_BODY_MAX);
    switch (request->body_state) {
    case BODY_COMING:
        request_want_body(request);
        return;
    case BODY_DONE:
        finish(visit, 200);
        return;
    case BODY_TOO_LARGE:
        finish(visit, 413);
        return;
    case BODY_MALFORMED:
        finish(visit, 400);
        return;
    case BODY_TIMED_OUT:
        finish(visit, 408);
        return;
    case BODY_NO_MEMORY:
        finish(visit, 503);
    }
}

/* The peer is believed, so what it says of others must not be more than an address. */
static void check_client(const struct request *request)
{
    char text[FORWARDED_ADDRESS_BYTES];
    size_t len = forwarded_client(request, text);
    ENSURE(len != 0 && len < sizeof(text));
    for (size_t i = 0; i < len; i++)
        ENSURE(text[i] > ' ' && text[i] < 0x7f && text[i] != ',');
    forwarded_is_https(request);
}

static void note_head(const struct request *request)
{
    const struct message *message = &request->message;
    ENSURE(message->target.len <= SITE_LINE_MAX && message->nheaders <= SITE_FIELDS_MAX);
    buf_add_str(&site.journal, method_name(message->method));
    buf_add_char(&site.journal, ' ');
    buf_add_str(&site.journal, request_slice(request, message->target));
    buf_add_char(&site.journal, '\n');
    for (uint32_t i = 0; i < message->nheaders; i++) {
        struct str name = request_slice(request, message->headers[i].name);
        struct str value = request_slice(request, message->headers[i].value);
        ENSURE(name.len != 0 && memchr(name.ptr, ' ', name.len) == NULL);
        for (size_t at = 0; at < value.len; at++)
            ENSURE((unsigned char)value.ptr[at] >= ' ' || value.ptr[at] == '\t');
        buf_add_str(&site.journal, name);
        buf_add_text(&site.journal, ": ");
        buf_add_str(&site.journal, value);
        buf_add_char(&site.journal, '\n');
    }
    buf_add_char(&site.journal, '\n');
}

/* HTTP/1.1 has exactly one host, and no request has two framings (RFC 9112, 3.2 and 6.1). */
static void check_head(const struct request *request)
{
    const struct message *message = &request->message;
    struct str host, path = request_path(request);
    ENSURE(message->head_len <= SITE_HEAD_MAX + SITE_LINE_MAX + 64);
    ENSURE(message->nhosts <= 1 && (message->version != 11 || message->nhosts == 1));
    ENSURE(!message->has_length || !message->has_transfer_encoding);
    ENSURE(!message->has_bad_coding && !message->has_other_codings);
    ENSURE(path.len != 0 && (path.ptr[0] == '/' || path.ptr[0] == '*'));
    if (request_host(request, &host))
        ENSURE(host.len <= message->head_len);
}

static void on_request(void *data, struct request *request)
{
    struct str path = request_path(request);
    struct visit *visit = MEM_NEW(struct visit);
    check_head(request);
    check_client(request);
    if (request->message.method == METHOD_HEAD && site.tally.requests < 64)
        site.tally.heads |= (uint64_t)1 << site.tally.requests;
    site.tally.requests++;
    note_head(request);
    *visit = (struct visit){
        .request = request, .mode = path.len > 1 ? path.ptr[1] : '\0', .next = site.visits};
    site.visits = visit;
    request->user = visit;
    request_limit_body(request, SITE_BODY_MAX);
    if (visit->mode == 'l' || visit->mode == 't' || visit->mode == 'w')
        request_detach(request);
    if (visit->mode == 'i')
        request_send_interim(request, 103, str_of("Link: </a>\r\n"));
    if (visit->mode == 'w') {
        struct answer head = {.status = 200, .content_type = str_of("text/plain")};
        visit->is_begun = true;
        request_begin(request, &head, -1, str_of("begun: "));
    }
    settle(visit);
}

static void on_body(void *data, struct request *request)
{
    settle(request->user);
}

static void on_drain(void *data, struct request *request)
{
}

static void on_abandon(void *data, struct request *request)
{
    struct visit *visit = request->user;
    site.tally.abandoned++;
    note_end(visit, "abandoned", false);
    forget_visit(visit);
}

static const struct http_handler handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_drain = on_drain,
    .on_abandon = on_abandon,
};

struct loop *site_start(void)
{
    static char proxies[] = "127.0.0.1, 10.0.0.1, ::1";
    site.config = (struct config){
        .limit_request_line = SITE_LINE_MAX,
        .limit_request_header = SITE_HEAD_MAX,
        .limit_request_fields = SITE_FIELDS_MAX,
        .max_body = SITE_BODY_MAX,
        .max_connections = 16,
        .forwarded_allow_ips = proxies,
    };
    signal(SIGPIPE, SIG_IGN);
    site.loop = loop_new();
    site.server = http_server_new(site.loop, &site.config, NULL, &handler);
    ENSURE(site.loop != NULL && site.server != NULL);
    return site.loop;
}

void site_use_forwarded(bool is_standard)
{
    site.config.forwarded_header = is_standard ? FORWARDED_HEADER_STANDARD : FORWARDED_HEADER_X;
}

int site_connect(uint8_t service)
{
    int pair[2];
    ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    conn_open(site.server, pair[0], service);
    return pair[1];
}

void site_turn(void)
{
    loop_turn(site.loop);
    for (struct visit *visit = site.visits, *next; visit != NULL; visit = next) {
        next = visit->next;
        if (!visit->is_late)
            continue;
        visit->mode = '\0';
        settle(visit);
        next = site.visits; /* an answer may bring the next request */
    }
}

uint32_t site_pending(void)
{
    uint32_t count = 0;
    for (const struct visit *visit = site.visits; visit != NULL; visit = visit->next)
        count += visit->is_late;
    return count;
}

uint32_t site_connections(void)
{
    return http_server_connections(site.server);
}

struct buf *site_journal(void)
{
    return &site.journal;
}

struct site_tally site_tally(void)
{
    return site.tally;
}

void site_forget(void)
{
    ENSURE(site.visits == NULL);
    site.journal.len = 0;
    site.tally = (struct site_tally){0};
}
