/*
 * Bytes of a client through http/conn, in several ways: whole, cut once, byte by byte. The answers
 * have to be the same; a connection has to end with its client. Memory errors are the sanitizers'
 * to find.
 *
 * One worker's server without workers: a socket pair instead of a listener, a handler that reads
 * whatever body there is and answers with it.
 */
#include "base/buf.h"
#include "base/config.h"
#include "base/mem.h"
#include "http/conn.h"
#include "http/forwarded.h"
#include "http/server.h"
#include "loop/loop.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    INPUT_MAX = 16 * 1024,
    BYTEWISE_MAX = 1024, /* each byte takes a turn of the loop */
    TURNS_MAX = 10000,
    BODY_MAX = 4096,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct loop *loop;
static struct http_server *server;

static void answer(struct request *request, uint16_t status, struct str body)
{
    struct answer whole = {.status = status, .content_type = str_of("text/plain"), .body = body};
    request_answer(request, &whole);
}

static void settle(struct request *request)
{
    switch (request->body_state) {
    case BODY_COMING:
        request_want_body(request);
        return;
    case BODY_DONE:
        if (request_promised_length(request) != 0)
            answer(request, 200, request_body(request));
        else
            answer(request, 200, request_path(request));
        return;
    case BODY_TOO_LARGE:
        answer(request, 413, (struct str){0});
        return;
    case BODY_MALFORMED:
        answer(request, 400, (struct str){0});
        return;
    case BODY_TIMED_OUT:
        answer(request, 408, (struct str){0});
        return;
    case BODY_NO_MEMORY:
        answer(request, 503, (struct str){0});
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

static void on_request(void *data, struct request *request)
{
    struct str host;
    check_client(request);
    if (request_host(request, &host))
        ENSURE(host.len <= request->message.head_len);
    ENSURE(request->message.head_len <= INPUT_MAX);
    request_limit_body(request, BODY_MAX);
    settle(request);
}

static void on_body(void *data, struct request *request)
{
    settle(request);
}

static void ignore(void *data, struct request *request)
{
}

static const struct http_handler handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_drain = ignore,
    .on_abandon = ignore,
};

static void start(void)
{
    static char proxies[] = "127.0.0.1, 10.0.0.1, ::1";
    static struct config config = {
        .limit_request_line = 1024,
        .limit_request_header = 4096,
        .limit_request_fields = 32,
        .max_body = BODY_MAX,
        .max_connections = 16,
        .forwarded_allow_ips = proxies,
    };
    signal(SIGPIPE, SIG_IGN);
    loop = loop_new();
    server = http_server_new(loop, &config, NULL, &handler);
    ENSURE(loop != NULL && server != NULL);
}

static void take_answers(int fd, struct buf *answers)
{
    char bytes[4096];
    ssize_t got;
    loop_turn(loop);
    while ((got = read(fd, bytes, sizeof(bytes))) > 0)
        buf_add(answers, bytes, (size_t)got);
}

/* Sends pieces of `step` bytes, the first of `first`, and collects what is answered. */
static struct buf converse(const uint8_t *data, size_t len, size_t first, size_t step)
{
    struct buf answers = {0};
    int pair[2];
    ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    conn_open(server, pair[0], HTTP_SERVES_PLAIN);
    for (size_t at = 0, piece = first; at < len; at += piece, piece = step) {
        piece = piece < len - at ? piece : len - at;
        if (write(pair[1], data + at, piece) < 0)
            break; /* refused and closed */
        take_answers(pair[1], &answers);
    }
    shutdown(pair[1], SHUT_WR);
    for (int turns = 0; http_server_connections(server) != 0; turns++) {
        ENSURE(turns < TURNS_MAX); /* a connection outlives its client */
        take_answers(pair[1], &answers);
    }
    take_answers(pair[1], &answers);
    close(pair[1]);
    return answers;
}

static size_t length_of_body(struct str head)
{
    static const char name[] = "\r\nContent-Length: ";
    const char *at = memmem(head.ptr, head.len, name, sizeof(name) - 1);
    return at != NULL ? strtoul(at + sizeof(name) - 1, NULL, 10) : 0;
}

/* The statuses in their order, of good answers with the body and the end. What differs from one
 * moment to the next is left out: interim answers, dates, numbers, and why something was refused,
 * as more may be wrong with what came at once. */
static struct buf outcome_of(const struct buf *answers)
{
    struct buf outcome = {0};
    const char *at = answers->ptr, *end = at != NULL ? at + answers->len : NULL;
    while (at < end) {
        const char *empty_line = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
        ENSURE(empty_line != NULL && empty_line - at > 12);
        struct str head = {at, (size_t)(empty_line + 4 - at)};
        int status = atoi(at + 9);
        size_t len = length_of_body(head);
        at += head.len;
        ENSURE(len <= (size_t)(end - at));
        if (status < 200)
            continue;
        bool closes = memmem(head.ptr, head.len, "\r\nConnection: close\r\n", 21) != NULL;
        buf_printf(&outcome, "%d%s ", status, closes ? ", closes" : "");
        if (status < 400)
            buf_add(&outcome, at, len);
        buf_add_char(&outcome, '\n');
        at += len;
    }
    return outcome;
}

static void compare(struct str whole, struct buf answers, const char *way)
{
    struct buf other = outcome_of(&answers);
    if (!str_equal(whole, buf_str(&other))) {
        fprintf(stderr, "---- in one piece:\n%.*s\n---- %s:\n%.*s\n----\n", (int)whole.len,
                whole.ptr != NULL ? whole.ptr : "", way, (int)other.len,
                other.ptr != NULL ? other.ptr : "");
        abort();
    }
    buf_deinit(&other);
    buf_deinit(&answers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint32_t hash = 2166136261u;
    if (loop == NULL)
        start();
    if (len < 2 || len > INPUT_MAX || memmem(data, len, "HEAD", 4) != NULL)
        return 0; /* a length without a body would be misread below */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ data[i]) * 16777619u;
    struct buf answers = converse(data, len, len, len);
    struct buf whole = outcome_of(&answers);
    compare(buf_str(&whole), converse(data, len, 1 + hash % (len - 1), len), "cut once");
    if (len <= BYTEWISE_MAX)
        compare(buf_str(&whole), converse(data, len, 1, 1), "byte by byte");
    buf_deinit(&answers);
    buf_deinit(&whole);
    return 0;
}
