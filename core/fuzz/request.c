/*
 * Bytes of a client through http/conn, in several ways: whole, cut once, in pieces of any size,
 * byte by byte. The handler has to get the same requests and the client the same answers; nothing
 * comes behind an answer that closes; a connection has to end with its client. Memory errors are
 * the sanitizers' to find.
 *
 * What the handler does is in support/site.h.
 */
#include "base/mem.h"
#include "fuzz/support/site.h"
#include "http/framing.h"
#include "http/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    INPUT_MAX = 16 * 1024,
    BYTEWISE_MAX = 1024, /* each byte takes a turn of the loop */
    TURNS_MAX = 10000,
    PIECE_MAX = 64,
};

/* One in each turn of the loop. */
#ifdef STRESS
static const bool reads_single_bytes = true;
#else
static const bool reads_single_bytes = false;
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What came of it: the answers as they are told apart below, and what the handler was given. */
struct outcome {
    struct buf answers;
    struct buf journal;
    uint32_t cuts;
};

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

static void take_answers(int fd, struct buf *answers)
{
    char bytes[4096];
    ssize_t got;
    site_turn();
    while ((got = read(fd, bytes, sizeof(bytes))) > 0)
        buf_add(answers, bytes, (size_t)got);
}

/* What begins like a header of the PROXY protocol comes to where one is expected. */
static uint8_t service_for(const uint8_t *data, size_t len)
{
    static const char line[] = "PROXY ", binary[] = "\r\n\r\n";
    bool is_announced = (len > 6 && memcmp(data, line, sizeof(line) - 1) == 0) ||
                        (len > 16 && memcmp(data, binary, sizeof(binary)) == 0);
    return is_announced ? HTTP_EXPECTS_PROXY : HTTP_SERVES_PLAIN;
}

/* Sends the bytes in pieces of `step`, the first of `first`; step 0: of any size. Collects what is
 * answered. */
static struct buf converse(const uint8_t *data, size_t len, size_t first, size_t step)
{
    struct buf answers = {0};
    uint32_t seed = (uint32_t)(len * 2654435761u);
    int fd = site_connect(service_for(data, len));
    for (size_t at = 0, piece = first; at < len;) {
        piece = piece < len - at ? piece : len - at;
        if (write(fd, data + at, piece) < 0)
            break; /* refused and closed */
        take_answers(fd, &answers);
        at += piece;
        piece = step != 0 ? step : 1 + next_random(&seed) % PIECE_MAX;
    }
    size_t turns_to_read = reads_single_bytes ? len : 0;
    for (size_t turns = 0; site_pending() != 0 || turns < turns_to_read; turns++) {
        ENSURE(turns < TURNS_MAX + turns_to_read); /* an answer that never leaves */
        take_answers(fd, &answers);
    }
    shutdown(fd, SHUT_WR);
    for (int turns = 0; site_connections() != 0; turns++) {
        ENSURE(turns < TURNS_MAX); /* a connection outlives its client */
        take_answers(fd, &answers);
    }
    take_answers(fd, &answers);
    close(fd);
    return answers;
}

static bool says(struct str head, const char *line)
{
    return memmem(head.ptr, head.len, line, strlen(line)) != NULL;
}

/* Takes the body of an answer off `rest`. */
static struct buf take_body(struct str head, bool has_none, struct str *rest)
{
    static const char length[] = "\r\nContent-Length: ";
    struct buf body = {0}, trailers = {0};
    struct framing framing;
    struct str piece;
    const char *at = memmem(head.ptr, head.len, length, sizeof(length) - 1);
    if (has_none)
        framing_begin(&framing, FRAMED_BY_NOTHING, 0, &trailers);
    else if (at != NULL)
        framing_begin(&framing, FRAMED_BY_LENGTH, strtoul(at + sizeof(length) - 1, NULL, 10),
                      &trailers);
    else if (says(head, "\r\nTransfer-Encoding: chunked\r\n"))
        framing_begin(&framing, FRAMED_BY_CHUNKS, 0, &trailers);
    else
        framing_begin(&framing, FRAMED_BY_END, 0, &trailers);
    enum framing_result result;
    while ((result = framing_next(&framing, rest, &piece)) == FRAMING_PIECE)
        buf_add_str(&body, piece);
    struct site_tally tally = site_tally(); /* an answer may be begun when its client leaves */
    ENSURE(result == FRAMING_DONE || tally.cuts + tally.abandoned != 0 ||
           framing_ends_with(&framing));
    buf_deinit(&trailers);
    return body;
}

/* One field too many that is malformed as well: which of the two shows depends on how much of it
 * there is. */
static int status_of(const char *answer, bool has_many_lines)
{
    int status = atoi(answer + 9);
    return status == 431 && has_many_lines ? 400 : status;
}

/* The statuses in their order, of good answers with the body and the end. What differs from one
 * moment to the next is left out: interim answers, dates, numbers, and why something was refused,
 * as more may be wrong with what came at once. */
static struct buf read_answers(const struct buf *answers, bool has_many_lines)
{
    struct buf outcome = {0};
    struct site_tally tally = site_tally();
    struct str rest = buf_str(answers);
    uint32_t count = 0;
    bool has_closed = false;
    while (rest.len != 0) {
        const char *empty_line = memmem(rest.ptr, rest.len, "\r\n\r\n", 4);
        ENSURE(empty_line != NULL && empty_line - rest.ptr > 12 && !has_closed);
        struct str head = {rest.ptr, (size_t)(empty_line + 4 - rest.ptr)};
        int status = status_of(head.ptr, has_many_lines);
        rest = (struct str){rest.ptr + head.len, rest.len - head.len};
        if (status < 200)
            continue;
        bool is_head = count < tally.requests ? ((tally.heads >> count) & 1) != 0
                                              : rest.len == 0; /* of a HEAD that was refused */
        struct buf body = take_body(head, is_head || status == 204 || status == 304, &rest);
        has_closed = says(head, "\r\nConnection: close\r\n");
        buf_printf(&outcome, "%d%s ", status, has_closed ? ", closes" : "");
        if (status < 400)
            buf_add_str(&outcome, buf_str(&body));
        buf_add_char(&outcome, '\n');
        buf_deinit(&body);
        count++;
    }
    ENSURE(tally.requests <= count + tally.abandoned || tally.cuts != 0); /* each is answered */
    return outcome;
}

static bool has_many_lines(const uint8_t *data, size_t len)
{
    uint32_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += data[i] == '\n';
    return count > SITE_FIELDS_MAX;
}

static struct outcome outcome_of(const uint8_t *data, size_t len, size_t first, size_t step)
{
    struct outcome outcome = {0};
    struct buf answers = converse(data, len, first, step);
    if (site_tally().requests < 64)
        outcome.answers = read_answers(&answers, has_many_lines(data, len));
    buf_add_str(&outcome.journal, buf_str(site_journal()));
    outcome.cuts = site_tally().cuts;
    site_forget();
    buf_deinit(&answers);
    return outcome;
}

static void compare(struct str whole, struct str other, const char *way)
{
    if (str_equal(whole, other))
        return;
    fprintf(stderr, "---- in one piece:\n%.*s\n---- %s:\n%.*s\n----\n", (int)whole.len,
            whole.ptr != NULL ? whole.ptr : "", way, (int)other.len,
            other.ptr != NULL ? other.ptr : "");
    abort();
}

static void compare_outcomes(const struct outcome *whole, struct outcome other, const char *way)
{
    compare(buf_str(&whole->journal), buf_str(&other.journal), way);
    if (whole->cuts == 0)
        compare(buf_str(&whole->answers), buf_str(&other.answers), way);
    buf_deinit(&other.journal);
    buf_deinit(&other.answers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool is_started;
    uint32_t hash = 2166136261u;
    if (!is_started)
        site_start();
    is_started = true;
    if (len < 2 || len > INPUT_MAX)
        return 0;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ data[i]) * 16777619u;
    site_use_forwarded(hash % 2 == 0);
    struct outcome whole = outcome_of(data, len, len, len);
    size_t first = 1 + hash % (len - 1);
    compare_outcomes(&whole, outcome_of(data, len, first, len), "cut once");
    compare_outcomes(&whole, outcome_of(data, len, first % PIECE_MAX + 1, 0), "in pieces");
    if (len <= BYTEWISE_MAX)
        compare_outcomes(&whole, outcome_of(data, len, 1, 1), "byte by byte");
    buf_deinit(&whole.journal);
    buf_deinit(&whole.answers);
    return 0;
}
