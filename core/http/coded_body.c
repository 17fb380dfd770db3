#include "http/coded_body.h"

#include "base/mem.h"
#include "http/decoder.h"
#include "http/fetch.h"
#include "http/method.h"
#include "loop/timer.h"

#include <stdio.h>
#include <stdlib.h>

/* The codings of several fields are one list (RFC 9110, 5.3). */
static struct decoder *find_decoder(const struct fetch *fetch)
{
    static const struct str wanted = {"content-encoding", 16};
    const struct message *message = &fetch->message;
    const char *head = fetch->answer_head.ptr;
    struct buf codings = {0};
    for (uint32_t i = 0; i < message->nheaders; i++) {
        struct slice name = message->headers[i].name, value = message->headers[i].value;
        if (name.len != wanted.len ||
            !str_equal_nocase((struct str){head + name.at, name.len}, wanted))
            continue;
        if (codings.len != 0)
            buf_add_char(&codings, ',');
        buf_add(&codings, head + value.at, value.len);
    }
    struct decoder *decoder = codings.len != 0 ? decoder_new(buf_str(&codings)) : NULL;
    buf_deinit(&codings);
    return decoder;
}

void coded_body_begin(struct fetch *fetch)
{
    struct decoder *decoder = find_decoder(fetch);
    if (decoder == NULL)
        return;
    fetch->coded = MEM_NEW(struct coded_body);
    fetch->coded->fetch = fetch;
    fetch->coded->decoder = decoder;
    fetch->is_decoded = true;
}

void coded_body_free(struct fetch *fetch)
{
    struct coded_body *coded = fetch->coded;
    if (coded == NULL)
        return;
    timer_stop(fetch->loop, &coded->timer);
    decoder_free(coded->decoder);
    buf_deinit(&coded->encoded);
    free(coded);
    fetch->coded = NULL;
}

static bool refuse(struct fetch *fetch, enum fetch_error error, const char *reason)
{
    fetch->error = error;
    snprintf(fetch->reason, sizeof(fetch->reason), "%s", reason);
    return false;
}

static bool is_bomb(const struct coded_body *coded)
{
    uint64_t ratio = coded->fetch->max_ratio != 0 ? coded->fetch->max_ratio : CODED_RATIO_DEFAULT;
    return coded->out_bytes > CODED_FREE_BYTES && coded->out_bytes / ratio > coded->in_bytes;
}

/* How much of it may lie there. */
static size_t most_of(const struct fetch *fetch)
{
    size_t have = fetch->answer_body.len;
    if (fetch->max_body != 0) /* all is gathered: a slice more, and one byte over the limit tells */
        return have + CODED_SLICE_BYTES;
    size_t most = fetch_ahead_max(fetch);
    return have > most ? have : most + 1;
}

static bool decode(struct fetch *fetch, struct str *bytes)
{
    struct coded_body *coded = fetch->coded;
    size_t had = fetch->answer_body.len, len = bytes->len;
    enum decoder_result result =
        decoder_run(coded->decoder, bytes, &fetch->answer_body, most_of(fetch));
    coded->in_bytes += len - bytes->len;
    coded->out_bytes += fetch->answer_body.len - had;
    if (result == DECODER_BAD)
        return refuse(fetch, FETCH_PROTOCOL, decoder_reason(coded->decoder));
    if (fetch->max_body != 0 && fetch->taken_bytes + fetch->answer_body.len > fetch->max_body)
        return refuse(fetch, FETCH_TOO_LARGE, "the decoded body is larger than max_body");
    if (is_bomb(coded))
        return refuse(fetch, FETCH_TOO_LARGE,
                      "the decoded body is more than max_ratio times what came");
    coded->is_full = result == DECODER_FULL;
    return true;
}

/* The last of it was decoded: is it whole? */
static bool check_end(struct fetch *fetch)
{
    struct coded_body *coded = fetch->coded;
    if (!coded->is_ended || coded->is_full || coded->used != coded->encoded.len)
        return true;
    if (!decoder_finish(coded->decoder))
        return refuse(fetch, FETCH_PROTOCOL, decoder_reason(coded->decoder));
    coded_body_free(fetch);
    return true;
}

/* Another turn of the loop for the next slice of what is gathered whole. */
static void on_turn(struct timer *timer)
{
    struct coded_body *coded = LIST_ENTRY(timer, struct coded_body, timer);
    fetch_decode_more(coded->fetch);
}

static bool work(struct fetch *fetch)
{
    struct coded_body *coded = fetch->coded;
    struct str rest = {coded->encoded.ptr + coded->used, coded->encoded.len - coded->used};
    if (!decode(fetch, &rest))
        return false;
    coded->used = coded->encoded.len - rest.len;
    if (coded->used == coded->encoded.len)
        coded->used = coded->encoded.len = 0;
    if (coded->is_full && fetch->max_body != 0)
        timer_start(fetch->loop, &coded->timer, 0, on_turn);
    return check_end(fetch);
}

bool coded_body_add(struct fetch *fetch, struct str bytes)
{
    struct coded_body *coded = fetch->coded;
    if (coded->encoded.len == 0 && !coded->is_full && !decode(fetch, &bytes))
        return false;
    if (bytes.len != 0)
        buf_add_str(&coded->encoded, bytes);
    if (coded->is_full && fetch->max_body != 0)
        timer_start(fetch->loop, &coded->timer, 0, on_turn);
    return true;
}

bool coded_body_end(struct fetch *fetch)
{
    fetch->coded->is_ended = true;
    return check_end(fetch);
}

bool coded_body_go_on(struct fetch *fetch)
{
    struct coded_body *coded = fetch->coded;
    if (!coded->is_full ||
        (fetch->max_body == 0 && fetch->answer_body.len > fetch_ahead_max(fetch)))
        return true;
    return work(fetch);
}

bool coded_body_has_room(const struct fetch *fetch)
{
    return !fetch->coded->is_full;
}
