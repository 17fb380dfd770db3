#include "http/upload.h"

#include "base/mem.h"
#include "http/fetch.h"
#include "loop/loop.h"

#include <stdlib.h>

static struct upload *upload_of(struct fetch *fetch)
{
    if (fetch->upload == NULL) {
        fetch->upload = MEM_NEW(struct upload);
        fetch->upload->fetch = fetch;
    }
    return fetch->upload;
}

void upload_stream(struct fetch *fetch, uint64_t length)
{
    struct upload *upload = upload_of(fetch);
    upload->is_stream = true;
    upload->length = length;
}

void upload_expect(struct fetch *fetch, uint64_t most_ms)
{
    upload_of(fetch)->expect_ms = most_ms;
}

void upload_free(struct fetch *fetch)
{
    if (fetch->upload == NULL)
        return;
    timer_stop(fetch->loop, &fetch->upload->timer);
    free(fetch->upload);
    fetch->upload = NULL;
}

/* ---- pieces ---- */

bool upload_wants_more(const struct fetch *fetch)
{
    return fetch->carrier != NULL && fetch->upload->has_room;
}

bool upload_give(struct fetch *fetch, struct str bytes)
{
    struct upload *upload = fetch->upload;
    ENSURE(upload_wants_more(fetch) && bytes.len != 0);
    upload->given_bytes += bytes.len;
    if (upload->given_bytes > upload->length) {
        fetch_break(fetch, FETCH_BAD_BODY, "the body is longer than was said");
        return false;
    }
    upload->is_begun = true;
    upload->has_room = false;
    fetch->body = bytes;
    fetch->body_sent = 0;
    fetch->carrier->send(fetch);
    return true;
}

bool upload_end(struct fetch *fetch)
{
    struct upload *upload = fetch->upload;
    ENSURE(upload_wants_more(fetch));
    if (upload->length != UPLOAD_CHUNKED && upload->given_bytes < upload->length) {
        fetch_break(fetch, FETCH_BAD_BODY, "the body is shorter than was said");
        return false;
    }
    upload->is_ended = true;
    upload->has_room = false;
    fetch->carrier->send(fetch);
    return true;
}

bool upload_is_unwanted(const struct fetch *fetch)
{
    return fetch_is_over(fetch) || fetch->upload->is_unwanted;
}

/* ---- for carriers ---- */

/* The server has not asked in time, which RFC 9110 allows: or there is room from the beginning. */
static void on_due(struct timer *timer)
{
    struct upload *upload = LIST_ENTRY(timer, struct upload, timer);
    struct fetch *fetch = upload->fetch;
    upload->is_held = false;
    if (fetch->carrier == NULL)
        return;
    fetch->carrier->send(fetch);
    if (upload->has_room)
        fetch_changed(fetch);
}

/* A carrier begins from within a function of the owner's, or of another fetch's: whoever waits for
 * room is told from the loop. */
void upload_begin(struct fetch *fetch)
{
    struct upload *upload = fetch->upload;
    upload->has_room = upload->is_end_sent = false;
    upload->is_held = upload->expect_ms != 0;
    timer_stop(fetch->loop, &upload->timer);
    timer_start(fetch->loop, &upload->timer, upload->expect_ms, on_due);
}

void upload_asked(struct fetch *fetch)
{
    if (fetch->upload == NULL || !fetch->upload->is_held)
        return;
    timer_stop(fetch->loop, &fetch->upload->timer);
    fetch->upload->is_held = false;
}

void upload_answered(struct fetch *fetch)
{
    struct upload *upload = fetch->upload;
    if (upload == NULL)
        return;
    if (upload->is_held)
        timer_stop(fetch->loop, &upload->timer);
    upload->is_unwanted = upload->is_held || fetch->message.status >= 300;
    upload->has_room &= !upload->is_unwanted;
}

void upload_taken(struct fetch *fetch, bool has_space)
{
    struct upload *upload = fetch->upload;
    upload->has_room = has_space && upload->is_stream && !upload->is_ended && !upload->is_held &&
                       !upload->is_unwanted && fetch->body_sent == fetch->body.len;
}

bool upload_is_sent(const struct fetch *fetch)
{
    const struct upload *upload = fetch->upload;
    if (fetch->body_sent != fetch->body.len)
        return false;
    if (upload == NULL || !upload->is_stream)
        return true;
    return upload->length == UPLOAD_CHUNKED ? upload->is_end_sent
                                            : upload->given_bytes == upload->length;
}
