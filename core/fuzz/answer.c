/*
 * Bytes of a server through the client, from the pool down to the socket: whole, cut once, byte by
 * byte. What the exchange ends with has to be the same, and nothing may be left of it.
 *
 * The first byte of an input says how the client asks; the rest is what the server sends before it
 * closes.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "http/fetch.h"
#include "http/outgoing.h"
#include "http/pool.h"
#include "loop/loop.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    INPUT_MAX = 16 * 1024,
    BYTEWISE_MAX = 1024, /* each byte takes a turn of the loop */
    TURNS_MAX = 10000,
    BODY_MAX = 64 * 1024,
};

/* Bits of the first byte. */
enum { ASKS_HEAD = 1, TAKES_PIECES = 2, TAKES_RAW = 4, OFFERS_UPGRADE = 8, WANTS_INTERIM = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct loop *loop;

struct conversation {
    struct pool *pool;
    struct fetch *fetch;
    struct buf body;
    int server; /* its end of the connection; -1: none yet */
};

static int open_socket(void *data)
{
    struct conversation *conversation = data;
    int pair[2];
    ENSURE(conversation->server < 0); /* nothing here is worth a second try */
    ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    conversation->server = pair[1];
    return pair[0];
}

static void ignore(struct fetch *fetch)
{
}

static void begin(struct conversation *conversation, int way)
{
    struct pool_options options = {
        .connections = 1, .queue = 1, .open_socket = open_socket, .open_data = conversation};
    struct fault fault = {0};
    const char *reason;
    *conversation = (struct conversation){.server = -1};
    conversation->pool = pool_new(loop, &options, &fault);
    ENSURE(conversation->pool != NULL);
    struct outgoing *request = outgoing_new(str_of((way & ASKS_HEAD) != 0 ? "HEAD" : "GET"),
                                            str_of("http://a/b"), (struct str){0}, &reason);
    ENSURE(request != NULL);
    if ((way & OFFERS_UPGRADE) != 0)
        ENSURE(outgoing_upgrade(request, str_of("websocket"), &reason));
    outgoing_end(request);
    struct fetch *fetch = fetch_new(conversation->pool, request);
    outgoing_unref(request);
    fetch->on_change = ignore;
    fetch->owner = conversation;
    fetch->is_raw = (way & TAKES_RAW) != 0;
    fetch->wants_interim = (way & WANTS_INTERIM) != 0;
    fetch->max_ratio = 100;
    conversation->fetch = fetch;
    fetch_start(fetch, (struct str){0}, 0);
    if ((way & TAKES_PIECES) == 0)
        fetch_want_whole(fetch, BODY_MAX);
}

static void turn(struct conversation *conversation, int way)
{
    struct fetch *fetch = conversation->fetch;
    char bytes[4096];
    loop_turn(loop);
    while (conversation->server >= 0 && read(conversation->server, bytes, sizeof(bytes)) > 0)
        ; /* the request */
    fetch_take_interim(fetch);
    ENSURE(fetch->answer_head.len <= FETCH_HEAD_MAX);
    if ((way & TAKES_PIECES) == 0)
        return;
    size_t len = fetch->answer_body.len;
    buf_add(&conversation->body, fetch->answer_body.ptr, len);
    if (len != 0)
        fetch_take_body(fetch, len);
}

/* A failure is compared by its kind alone: how much came before it is the reads' doing. */
static struct buf outcome_of(const struct conversation *conversation, int way)
{
    const struct fetch *fetch = conversation->fetch;
    struct str body =
        buf_str((way & TAKES_PIECES) != 0 ? &conversation->body : &fetch->answer_body);
    struct buf outcome = {0};
    if (fetch_stage(fetch) == FETCH_FAILED) {
        ENSURE(fetch->error != FETCH_OK && fetch->reason[0] != '\0');
        buf_printf(&outcome, "failed: %d", (int)fetch->error);
        return outcome;
    }
    ENSURE(fetch->message.status == 101 || fetch->message.status >= 200);
    ENSURE((way & ASKS_HEAD) == 0 || body.len == 0);
    ENSURE((way & TAKES_PIECES) != 0 || body.len <= BODY_MAX);
    buf_printf(&outcome, "%u%s\n", fetch->message.status,
               fetch->duplex != NULL ? ", switched" : "");
    buf_add_str(&outcome, buf_str(&fetch->answer_head));
    buf_add_str(&outcome, body);
    buf_add_char(&outcome, '\n');
    buf_add_str(&outcome, buf_str(&fetch->trailers));
    buf_add_str(&outcome, buf_str(&fetch->interim));
    return outcome;
}

/* Pieces of `step` bytes, the first of `first`. */
static struct buf converse(const uint8_t *data, size_t len, int way, size_t first, size_t step)
{
    struct conversation conversation;
    uint32_t handles = loop_handles(loop);
    begin(&conversation, way);
    for (int turns = 0; conversation.server < 0; turns++) {
        ENSURE(turns < TURNS_MAX);
        turn(&conversation, way);
    }
    turn(&conversation, way);
    for (size_t at = 0, piece = first; at < len; at += piece, piece = step) {
        piece = piece < len - at ? piece : len - at;
        if (send(conversation.server, data + at, piece, MSG_NOSIGNAL) < 0)
            break; /* refused and closed */
        turn(&conversation, way);
    }
    shutdown(conversation.server, SHUT_WR);
    for (int turns = 0; !fetch_is_over(conversation.fetch); turns++) {
        ENSURE(turns < TURNS_MAX); /* an exchange outlives its server */
        turn(&conversation, way);
    }
    turn(&conversation, way);
    struct buf outcome = outcome_of(&conversation, way);
    fetch_free(conversation.fetch);
    pool_free(conversation.pool);
    close(conversation.server);
    buf_deinit(&conversation.body);
    for (int turns = 0; loop_handles(loop) > handles; turns++) {
        ENSURE(turns < TURNS_MAX); /* something is left */
        loop_turn(loop);
    }
    return outcome;
}

static void compare(const struct buf *whole, struct buf other, const char *way)
{
    if (!str_equal(buf_str(whole), buf_str(&other))) {
        fprintf(stderr, "---- in one piece:\n%.*s\n---- %s:\n%.*s\n----\n", (int)whole->len,
                whole->ptr, way, (int)other.len, other.ptr);
        abort();
    }
    buf_deinit(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint32_t hash = 2166136261u;
    if (len < 3 || len > INPUT_MAX)
        return 0;
    if (loop == NULL) { /* with the handles that the first exchange leaves for all others */
        loop = loop_new();
        struct buf first = converse((const uint8_t *)"HTTP/1.1 204 \r\n\r\n", 17, 0, 17, 17);
        buf_deinit(&first);
    }
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ data[i]) * 16777619u;
    int way = *data++;
    len--;
    struct buf whole = converse(data, len, way, len, len);
    compare(&whole, converse(data, len, way, 1 + hash % (len - 1), len), "cut once");
    if (len <= BYTEWISE_MAX)
        compare(&whole, converse(data, len, way, 1, 1), "byte by byte");
    buf_deinit(&whole);
    return 0;
}
