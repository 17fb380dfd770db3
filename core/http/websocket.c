#include "http/websocket.h"

#include "base/list.h"
#include "base/mem.h"
#include "http/duplex.h"
#include "http/websocket_coder.h"
#include "loop/deadline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { FIN = 0x80, RSV1 = 0x40, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

enum {
    BATCH_MAX = 16 * 1024,  /* bytes of frames that leave together */
    INBOX_ENTRY_BYTES = 64, /* what a message in the inbox counts beyond its bytes */
};

enum phase { PHASE_PING, PHASE_PONG, PHASE_CLOSE, PHASES };

struct message {
    struct link link;
    size_t len;
    bool is_text;
    char bytes[];
};

struct websocket {
    struct duplex *duplex;
    const struct websocket_owner *events;
    void *owner;
    struct websocket_reader reader;
    struct link inbox; /* messages that came before they were asked for */
    struct message *taken;
    size_t inbox_bytes;
    size_t given;   /* bytes of the duplex that a payload given out lies in, and those before it */
    struct buf out; /* frames of this batch */
    struct deadline deadline;
    struct deadline_queue *queues[PHASES]; /* NULL: no such deadline */
    char *close_reason;
    uint8_t close_reason_len;
    uint16_t close_code;
    uint8_t phase;
    bool is_client;
    bool is_wanted;
    bool is_ignoring;
    bool is_close_sent;
    bool is_over; /* nothing is read any more */
    bool is_over_told;
    bool is_stalled; /* the inbox was full, and the rest of what came is not looked at */
    bool has_come;   /* something, since the deadline began */
    bool is_busy;    /* in an event: what is sent waits for its end, and so does the end of all */
    bool is_released;
};

static void on_deadline(struct deadline *deadline);

static void start_phase(struct websocket *websocket, enum phase phase)
{
    websocket->phase = (uint8_t)phase;
    websocket->has_come = false;
    if (websocket->queues[phase] != NULL)
        deadline_start(websocket->queues[phase], &websocket->deadline, on_deadline);
    else
        deadline_stop(&websocket->deadline);
}

/* ---- frames out ---- */

static void flush(struct websocket *websocket)
{
    if (websocket->out.len == 0)
        return;
    duplex_write(websocket->duplex, buf_str(&websocket->out)); /* a failure comes as an event */
    buf_deinit(&websocket->out);
}

/* A client's frame: with a mask that nobody can guess (RFC 6455, 5.3). */
static void add_masked(struct websocket *websocket, uint8_t opcode, struct str payload)
{
    struct buf *out = &websocket->out;
    unsigned char head[WEBSOCKET_HEAD_MAX], mask[4];
    ENSURE(getrandom(mask, sizeof(mask), 0) == sizeof(mask));
    buf_add(out, head, websocket_write_head(head, opcode, payload.len, mask));
    buf_add_str(out, payload);
    if (payload.len != 0)
        websocket_mask(out->ptr + out->len - payload.len, payload.len, mask);
}

static void emit(struct websocket *websocket, uint8_t opcode, struct str payload)
{
    unsigned char head[WEBSOCKET_HEAD_MAX];
    if (websocket->is_client) {
        add_masked(websocket, opcode, payload);
    } else {
        size_t len = websocket_write_head(head, opcode, payload.len, NULL);
        if (!websocket->is_busy || payload.len > BATCH_MAX) {
            struct str pieces[] = {{(char *)head, len}, payload};
            flush(websocket);
            duplex_write_pieces(websocket->duplex, pieces, payload.len != 0 ? 2 : 1);
            return;
        }
        buf_add(&websocket->out, head, len);
        buf_add_str(&websocket->out, payload);
    }
    if (!websocket->is_busy || websocket->out.len > BATCH_MAX)
        flush(websocket);
}

static void emit_compressed(struct websocket *websocket, uint8_t opcode, struct str bytes)
{
    struct buf deflated = {0};
    websocket_coder_deflate(websocket->reader.coder, bytes, &deflated);
    if (deflated.len < bytes.len)
        emit(websocket, opcode | RSV1, buf_str(&deflated));
    else
        emit(websocket, opcode, bytes);
    buf_deinit(&deflated);
}

int websocket_send(struct websocket *websocket, bool is_text, struct str bytes)
{
    uint8_t opcode = FIN | (is_text ? TEXT : BINARY);
    if (websocket_is_closing(websocket) || duplex_state(websocket->duplex) == DUPLEX_LOST)
        return -EPIPE;
    if (websocket->reader.coder != NULL && bytes.len >= WEBSOCKET_COMPRESSED_MIN)
        emit_compressed(websocket, opcode, bytes);
    else
        emit(websocket, opcode, bytes);
    return 0;
}

bool websocket_must_wait(const struct websocket *websocket)
{
    return duplex_must_wait(websocket->duplex);
}

/* ---- the goodbye ---- */

static void keep_close(struct websocket *websocket, uint16_t code, struct str reason)
{
    if (websocket->close_code != 0)
        return;
    websocket->close_code = code;
    websocket->close_reason_len = (uint8_t)reason.len;
    if (reason.len == 0)
        return;
    websocket->close_reason = mem_grow(NULL, reason.len);
    memcpy(websocket->close_reason, reason.ptr, reason.len);
}

static void emit_close(struct websocket *websocket, uint16_t code, struct str reason)
{
    char bytes[WEBSOCKET_CONTROL_MAX];
    size_t len = 0;
    ENSURE(reason.len <= WEBSOCKET_REASON_MAX);
    if (websocket->is_close_sent)
        return;
    websocket->is_close_sent = true;
    if (code != WEBSOCKET_NO_CODE) {
        bytes[0] = (char)(code >> 8);
        bytes[1] = (char)code;
        if (reason.len != 0)
            memcpy(bytes + 2, reason.ptr, reason.len);
        len = 2 + reason.len;
    }
    emit(websocket, FIN | CLOSE, (struct str){bytes, len});
}

void websocket_close(struct websocket *websocket, uint16_t code, struct str reason)
{
    if (websocket_is_closing(websocket))
        return;
    keep_close(websocket, code, reason);
    emit_close(websocket, code, reason);
    start_phase(websocket, PHASE_CLOSE);
}

/* Nothing more is read. The server ends the connection first (RFC 6455, 7.1.1); a client waits for
 * that. */
static void end_reading(struct websocket *websocket)
{
    websocket->is_over = true;
    websocket_reader_deinit(&websocket->reader);
    flush(websocket);
    if (!websocket->is_client || duplex_state(websocket->duplex) != DUPLEX_OPEN)
        duplex_end(websocket->duplex);
    if (websocket->phase != PHASE_CLOSE)
        start_phase(websocket, PHASE_CLOSE);
}

static void on_peer_close(struct websocket *websocket, struct str reason)
{
    uint16_t code = websocket->reader.code;
    keep_close(websocket, code, reason);
    emit_close(websocket, code, reason);
    end_reading(websocket);
}

static void on_fault(struct websocket *websocket, uint16_t code, const char *reason)
{
    keep_close(websocket, code, str_of(reason));
    if (code != WEBSOCKET_ABNORMAL)
        emit_close(websocket, code, str_of(reason));
    websocket->is_close_sent = true;
    end_reading(websocket);
}

bool websocket_is_closing(const struct websocket *websocket)
{
    return websocket->is_close_sent || websocket->is_over;
}

bool websocket_is_over(const struct websocket *websocket)
{
    return websocket->is_over;
}

uint16_t websocket_close_code(const struct websocket *websocket)
{
    return websocket->close_code;
}

struct str websocket_close_reason(const struct websocket *websocket)
{
    return (struct str){websocket->close_reason, websocket->close_reason_len};
}

/* ---- messages in ---- */

static void settle_given(struct websocket *websocket)
{
    size_t given = websocket->given;
    websocket->given = 0;
    if (given != 0)
        duplex_take(websocket->duplex, given);
}

/* Nothing is left of what came: the end may be next. */
static enum websocket_event at_end(struct websocket *websocket)
{
    enum duplex_state state = duplex_state(websocket->duplex);
    if (state == DUPLEX_OPEN)
        return WEBSOCKET_NOTHING;
    on_fault(websocket, WEBSOCKET_ABNORMAL,
             state == DUPLEX_LOST ? "the connection was lost" : "it ended without a close");
    return WEBSOCKET_CLOSE;
}

/* The next event that is the owner's. A peer that does not read is owed no pongs. */
static enum websocket_event next(struct websocket *websocket, struct str *payload)
{
    while (true) {
        settle_given(websocket);
        struct str bytes = duplex_bytes(websocket->duplex);
        if (websocket->is_over) {
            duplex_take(websocket->duplex, bytes.len);
            return WEBSOCKET_CLOSE;
        }
        enum websocket_event event = websocket_reader_next(&websocket->reader, (char *)bytes.ptr,
                                                           bytes.len, &websocket->given, payload);
        if (event == WEBSOCKET_NOTHING) {
            settle_given(websocket);
            return at_end(websocket);
        }
        if (event == WEBSOCKET_PING && !websocket->is_close_sent && !websocket_must_wait(websocket))
            emit(websocket, FIN | PONG, *payload);
        else if (event == WEBSOCKET_CLOSE)
            on_peer_close(websocket, *payload);
        else if (event == WEBSOCKET_FAILED)
            on_fault(websocket, websocket->reader.code, websocket->reader.reason);
        else if ((event == WEBSOCKET_TEXT || event == WEBSOCKET_BINARY) && !websocket->is_ignoring)
            return event;
    }
}

/* False when there is no memory for it, which ends the socket. */
static bool keep_message(struct websocket *websocket, bool is_text, struct str payload)
{
    struct message *message = mem_try_grow(NULL, sizeof(*message) + payload.len);
    if (message == NULL) {
        on_fault(websocket, WEBSOCKET_INTERNAL_ERROR, "there is no memory for the message");
        return false;
    }
    message->len = payload.len;
    message->is_text = is_text;
    if (payload.len != 0)
        memcpy(message->bytes, payload.ptr, payload.len);
    link_append(&websocket->inbox, &message->link);
    websocket->inbox_bytes += payload.len + INBOX_ENTRY_BYTES;
    return true;
}

/* Looks at what came until somebody has to receive it. */
static void look_ahead(struct websocket *websocket)
{
    struct str payload;
    websocket->is_stalled = false;
    while (websocket->inbox_bytes < WEBSOCKET_AHEAD_MAX) {
        enum websocket_event event = next(websocket, &payload);
        if (event == WEBSOCKET_NOTHING || event == WEBSOCKET_CLOSE)
            return;
        if (!keep_message(websocket, event == WEBSOCKET_TEXT, payload))
            return;
    }
    settle_given(websocket);
    websocket->is_stalled = true;
}

enum websocket_event websocket_receive(struct websocket *websocket, struct str *payload)
{
    *payload = (struct str){0};
    if (link_is_alone(&websocket->inbox))
        return next(websocket, payload);
    struct message *message = LIST_ENTRY(websocket->inbox.next, struct message, link);
    link_remove(&message->link);
    websocket->inbox_bytes -= message->len + INBOX_ENTRY_BYTES;
    websocket->taken = message;
    *payload = (struct str){message->bytes, message->len};
    return message->is_text ? WEBSOCKET_TEXT : WEBSOCKET_BINARY;
}

void websocket_took(struct websocket *websocket)
{
    free(websocket->taken);
    websocket->taken = NULL;
    settle_given(websocket);
    if (websocket->is_stalled)
        look_ahead(websocket);
}

void websocket_want(struct websocket *websocket, bool is_wanted)
{
    websocket->is_wanted = is_wanted;
}

static void drop_inbox(struct websocket *websocket)
{
    for (struct link *link; (link = link_take_first(&websocket->inbox)) != NULL;)
        free(LIST_ENTRY(link, struct message, link));
    websocket->inbox_bytes = 0;
}

void websocket_ignore(struct websocket *websocket)
{
    websocket->is_ignoring = true;
    drop_inbox(websocket);
    look_ahead(websocket);
}

/* ---- events ---- */

/* To whom waits for it, one after the other: each may ask for the next. */
static void give(struct websocket *websocket)
{
    struct str payload;
    while (websocket->is_wanted && !websocket->is_released) {
        enum websocket_event event = websocket_receive(websocket, &payload);
        if (event == WEBSOCKET_NOTHING)
            return;
        websocket->is_wanted = false;
        websocket->events->on_message(websocket->owner, event, payload);
    }
}

static void free_websocket(struct websocket *websocket)
{
    drop_inbox(websocket);
    free(websocket->taken);
    free(websocket->close_reason);
    websocket_reader_deinit(&websocket->reader);
    buf_deinit(&websocket->out);
    free(websocket);
}

/* The owner may have released it meanwhile. */
static void tell_over(struct websocket *websocket)
{
    bool is_gone = duplex_state(websocket->duplex) == DUPLEX_LOST;
    if (websocket->is_over_told || !(websocket->is_over || is_gone))
        return;
    websocket->is_over_told = true;
    websocket->events->on_over(websocket->owner);
}

static void look(struct websocket *websocket)
{
    websocket->has_come = true;
    if (!duplex_must_wait(websocket->duplex))
        websocket->events->on_writable(websocket->owner);
    give(websocket);
    if (!websocket->is_released)
        look_ahead(websocket);
    if (!websocket->is_released && websocket->is_over &&
        duplex_state(websocket->duplex) != DUPLEX_OPEN)
        duplex_end(websocket->duplex);
    if (!websocket->is_released)
        tell_over(websocket);
}

static void end_event(struct websocket *websocket)
{
    websocket->is_busy = false;
    if (websocket->is_released) {
        free_websocket(websocket);
        return;
    }
    flush(websocket);
}

static void on_change(void *owner)
{
    struct websocket *websocket = owner;
    if (websocket->is_busy)
        return; /* it is being given up */
    websocket->is_busy = true;
    look(websocket);
    end_event(websocket);
}

static void give_up(struct websocket *websocket)
{
    websocket->is_busy = true;
    duplex_give_up(websocket->duplex);
    if (!websocket->is_released)
        look(websocket);
    end_event(websocket);
}

static void on_deadline(struct deadline *deadline)
{
    struct websocket *websocket = LIST_ENTRY(deadline, struct websocket, deadline);
    if (websocket->phase == PHASE_CLOSE) {
        give_up(websocket);
    } else if (websocket->has_come || websocket->is_stalled || websocket_must_wait(websocket)) {
        start_phase(websocket, PHASE_PING); /* it is us, or send_timeout, that has to go on */
    } else if (websocket->phase == PHASE_PING) {
        emit(websocket, FIN | PING, (struct str){0});
        start_phase(websocket, PHASE_PONG);
    } else {
        keep_close(websocket, WEBSOCKET_ABNORMAL, str_of("the other side does not answer pings"));
        give_up(websocket);
    }
}

/* ---- life ---- */

static struct deadline_queue *queue_of(struct loop *loop, uint32_t duration_ms)
{
    return duration_ms != 0 ? deadline_queue_of_peers(loop, duration_ms) : NULL;
}

struct websocket *websocket_open(struct loop *loop, struct duplex *duplex,
                                 const struct websocket_options *options,
                                 const struct websocket_owner *events, void *owner)
{
    struct websocket *websocket = MEM_NEW(struct websocket);
    websocket->duplex = duplex;
    websocket->events = events;
    websocket->owner = owner;
    websocket->is_client = options->is_client;
    websocket_reader_init(&websocket->reader, !options->is_client, options->max_message,
                          options->max_frame);
    websocket->reader.coder = options->coder;
    link_init(&websocket->inbox);
    deadline_init(&websocket->deadline);
    websocket->queues[PHASE_PING] = queue_of(loop, options->ping_interval_ms);
    websocket->queues[PHASE_PONG] = queue_of(loop, options->ping_timeout_ms);
    websocket->queues[PHASE_CLOSE] = queue_of(loop, options->close_timeout_ms);
    start_phase(websocket, PHASE_PING);
    duplex_own(duplex, on_change, websocket);
    return websocket;
}

void websocket_release(struct websocket *websocket)
{
    if (websocket == NULL || websocket->is_released)
        return;
    if (!websocket_is_closing(websocket))
        emit_close(websocket, WEBSOCKET_GOING_AWAY, (struct str){0});
    flush(websocket);
    deadline_stop(&websocket->deadline);
    websocket->is_released = true;
    duplex_release(websocket->duplex);
    websocket->duplex = NULL;
    if (!websocket->is_busy)
        free_websocket(websocket);
}
