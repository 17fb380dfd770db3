/*
 * Requests of the client, as far as it takes them, through its pool into our own server: what was
 * asked for arrives as one request with the same method, target, fields and body, and is answered.
 * Nothing that a caller may say can smuggle in a second one.
 *
 * Input: a method, a URL, lines "name: value", each with a line end; an empty line; a body.
 */
#include "base/mem.h"
#include "fuzz/support/site.h"
#include "http/fetch.h"
#include "http/field.h"
#include "http/outgoing.h"
#include "http/pool.h"
#include "http/query.h"
#include "http/server.h"
#include "loop/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 8 * 1024, TURNS_MAX = 10000, LINES_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct loop *loop;

struct asked {
    struct str method, url, body;
    struct str names[LINES_MAX], values[LINES_MAX];
    uint32_t nfields;
};

static int open_socket(void *data)
{
    return site_connect(HTTP_SERVES_PLAIN);
}

static void ignore(struct fetch *fetch)
{
}

static struct str take_line(struct str *text)
{
    const char *end = text->len != 0 ? memchr(text->ptr, '\n', text->len) : NULL;
    struct str line = {text->ptr, end != NULL ? (size_t)(end - text->ptr) : text->len};
    size_t used = line.len + (end != NULL);
    *text = (struct str){text->ptr + used, text->len - used};
    return line;
}

/* "name: value"; a line may be neither, which is for the client to refuse. */
static void read_input(struct asked *asked, struct str text)
{
    *asked = (struct asked){0};
    asked->method = take_line(&text);
    asked->url = take_line(&text);
    while (text.len != 0 && asked->nfields < LINES_MAX) {
        struct str line = take_line(&text);
        if (line.len == 0)
            break;
        const char *colon = memmem(line.ptr, line.len, ": ", 2);
        size_t name_len = colon != NULL ? (size_t)(colon - line.ptr) : line.len;
        asked->names[asked->nfields] = (struct str){line.ptr, name_len};
        asked->values[asked->nfields++] = colon != NULL
                                              ? (struct str){colon + 2, line.len - name_len - 2}
                                              : (struct str){line.ptr + line.len, 0};
    }
    asked->body = text;
}

static struct outgoing *prepare(const struct asked *asked)
{
    const char *reason = NULL;
    struct outgoing *request = outgoing_new(asked->method, asked->url, (struct str){0}, &reason);
    bool is_good = request != NULL;
    for (uint32_t i = 0; i < asked->nfields && is_good; i++)
        is_good = outgoing_add(request, asked->names[i], asked->values[i], &reason);
    if (!is_good) {
        ENSURE(reason != NULL && reason[0] != '\0');
        outgoing_unref(request);
        return NULL;
    }
    outgoing_end(request);
    return request;
}

static struct str trim(struct str text)
{
    while (text.len != 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
        text = (struct str){text.ptr + 1, text.len - 1};
    while (text.len != 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static void expect(struct str *journal, struct str text)
{
    if (journal->len < text.len || memcmp(journal->ptr, text.ptr, text.len) != 0) {
        fprintf(stderr, "---- expected:\n%.*s\n---- journal from there:\n%.*s\n----\n",
                (int)text.len, text.ptr, (int)journal->len, journal->ptr);
        abort();
    }
    *journal = (struct str){journal->ptr + text.len, journal->len - text.len};
}

/* The line and the given fields in front, the body at the end, our own fields between. */
static void check_journal(const struct asked *asked, const struct outgoing *request)
{
    struct buf expected = {0}, end = {0};
    struct str journal = buf_str(site_journal());
    buf_add_str(&expected, asked->method);
    buf_add_char(&expected, ' ');
    url_add_target(&expected, &request->url);
    buf_add_char(&expected, '\n');
    for (uint32_t i = 0; i < asked->nfields; i++) {
        buf_add_str(&expected, asked->names[i]);
        buf_add_text(&expected, ": ");
        buf_add_str(&expected, trim(asked->values[i]));
        buf_add_char(&expected, '\n');
    }
    expect(&journal, buf_str(&expected));
    buf_add_text(&end, "\n");
    buf_add_str(&end, asked->body);
    buf_add_text(&end, "(done)\n");
    ENSURE(journal.len >= end.len);
    journal = (struct str){journal.ptr + journal.len - end.len, end.len};
    expect(&journal, buf_str(&end));
    buf_deinit(&expected);
    buf_deinit(&end);
}

/* The client sends a path as it is; the server refuses what is encoded wrongly, and a NUL. */
static bool is_odd_path(struct str path)
{
    return !percent_is_valid(path) || memmem(path.ptr, path.len, "%00", 3) != NULL;
}

/* What the server may refuse: its limits; and a body beyond its own. */
static void check_outcome(const struct asked *asked, const struct outgoing *request,
                          const struct fetch *fetch)
{
    struct site_tally tally = site_tally();
    ENSURE(tally.requests <= 1);
    for (uint32_t i = 0; i < asked->nfields; i++)
        if (str_equal_nocase(asked->names[i], str_of("connection")))
            ENSURE(request->wants_close || !field_lists(asked->values[i], str_of("close")));
    if (fetch_stage(fetch) == FETCH_FAILED) {
        ENSURE(tally.cuts != 0 && fetch->error == FETCH_CLOSED);
        return;
    }
    uint16_t status = fetch->message.status;
    bool is_large = status == 413 || status == 414 || status == 431;
    bool is_odd = status == 400 && is_odd_path(request->url.path);
    if (status != 200 && !is_large && !is_odd) {
        fprintf(stderr, "answered %u: %.*s\n", status, (int)fetch->answer_body.len,
                fetch->answer_body.ptr);
        abort();
    }
    ENSURE(status == 200 ? tally.requests == 1 : true);
    if (status == 200)
        check_journal(asked, request);
}

static void converse(const struct asked *asked, struct outgoing *request)
{
    struct pool_options options = {.connections = 1, .queue = 1, .open_socket = open_socket};
    struct fault fault = {0};
    struct pool *pool = pool_new(loop, &options, &fault);
    struct fetch *fetch = fetch_new(pool, request);
    fetch->on_change = ignore;
    fetch_start(fetch, asked->body.len != 0 ? asked->body : (struct str){0}, 0);
    fetch_want_whole(fetch, UINT64_C(1) << 20);
    for (int turns = 0; !fetch_is_over(fetch); turns++) {
        ENSURE(turns < TURNS_MAX);
        site_turn();
    }
    check_outcome(asked, request, fetch);
    fetch_free(fetch);
    pool_free(pool);
    for (int turns = 0; site_connections() != 0; turns++) {
        ENSURE(turns < TURNS_MAX);
        site_turn();
    }
    site_forget();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct asked asked;
    if (len < 8 || len > INPUT_MAX)
        return 0;
    if (loop == NULL)
        loop = site_start();
    read_input(&asked, (struct str){(const char *)data, len});
    struct outgoing *request = prepare(&asked);
    if (request == NULL)
        return 0;
    converse(&asked, request);
    outgoing_unref(request);
    return 0;
}
