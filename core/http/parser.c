#include "http/parser.h"

#include "base/mem.h"
#include "http/field.h"
#include "http/method.h"
#include "http/request_lines.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(llhttp_t) <= PARSER_STATE_WORDS * sizeof(uint64_t), "room for llhttp");

static llhttp_t *llhttp_of(struct parser *parser)
{
    return (llhttp_t *)parser->state;
}

static struct slice slice_of(const struct parser *parser, const char *at, size_t len)
{
    return (struct slice){parser->chunk_at + (uint32_t)(at - parser->chunk), (uint32_t)len};
}

/* A span that was split between two chunks comes in pieces that touch. */
static void extend(const struct parser *parser, struct slice *slice, const char *at, size_t len)
{
    if (slice->len == 0)
        *slice = slice_of(parser, at, len);
    else
        slice->len += (uint32_t)len;
}

static int on_target(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parser *parser = llhttp->data;
    extend(parser, &parser->message->target, at, len);
    return 0;
}

static struct header_slice *header_add(struct message *message)
{
    if (message->nheaders == message->headers_cap) {
        message->headers_cap = message->headers_cap != 0 ? message->headers_cap * 2 : 16;
        message->headers =
            mem_grow(message->headers, message->headers_cap * sizeof(*message->headers));
    }
    struct header_slice *header = &message->headers[message->nheaders++];
    *header = (struct header_slice){0};
    return header;
}

static int fail(struct parser *parser, enum parser_error error)
{
    parser->error = error;
    return HPE_USER;
}

static int on_field(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parser *parser = llhttp->data;
    struct message *message = parser->message;
    if (message->nheaders == 0 || parser->is_in_value) {
        header_add(message); /* also one too many: what is wrong in it comes first */
        parser->is_in_value = false;
    }
    extend(parser, &message->headers[message->nheaders - 1].name, at, len);
    return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parser *parser = llhttp->data;
    parser->is_in_value = true;
    struct slice *value = &parser->message->headers[parser->message->nheaders - 1].value;
    if (value->len != 0 && slice_of(parser, at, len).at != value->at + value->len) {
        parser->message->has_folds = true; /* its lines do not touch (RFC 9112, 5.2) */
        value->len = slice_of(parser, at, len).at - value->at;
    }
    extend(parser, value, at, len);
    return 0;
}

static int on_value_complete(llhttp_t *llhttp)
{
    struct parser *parser = llhttp->data;
    parser->is_in_value = true; /* also when the value was empty */
    if (parser->message->nheaders > parser->message->max_headers)
        return fail(parser, PARSER_TOO_MANY_HEADERS);
    return 0;
}

/* llhttp takes a request without a version for HTTP/0.9, which is not spoken either. */
static int fail_version(struct parser *parser)
{
    const struct slice *target = &parser->message->target;
    const char *at = parser->chunk - parser->chunk_at + target->at + target->len;
    parser->reason = "the request line has no version";
    return fail(parser, *at == ' ' ? PARSER_BAD_VERSION : PARSER_BAD_SYNTAX);
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct parser *parser = llhttp->data;
    struct message *message = parser->message;
    message->method = llhttp->method;
    message->version = (uint8_t)(llhttp->http_major * 10 + llhttp->http_minor);
    message->has_length = (llhttp->flags & F_CONTENT_LENGTH) != 0;
    message->is_chunked = (llhttp->flags & F_CHUNKED) != 0;
    message->content_length = message->has_length ? llhttp->content_length : 0;
    message->is_upgrade = llhttp->upgrade != 0;
    message->keeps_alive = llhttp_should_keep_alive(llhttp) != 0;
    parser->is_llhttp_done = !message->keeps_alive;
    if (message->version != 11 && message->version != 10)
        return fail_version(parser);
    message->is_head_done = true;
    llhttp->upgrade = 0; /* what is behind is the next request unless someone takes the upgrade */
    parser->is_in_chunks = (llhttp->flags & (F_TRANSFER_ENCODING | F_CHUNKED)) != 0;
    return parser->is_in_chunks; /* 1 tells llhttp that no body follows */
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parser *parser = llhttp->data;
    if (parser->events->on_body == NULL || parser->events->on_body(parser->owner, (char *)at, len))
        return 0;
    return fail(parser, PARSER_BODY_REFUSED);
}

static int on_message_complete(llhttp_t *llhttp)
{
    struct parser *parser = llhttp->data;
    parser->is_ended = !parser->is_in_chunks;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_target,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void parser_init(struct parser *parser, const struct parser_events *events, void *owner)
{
    llhttp_init(llhttp_of(parser), HTTP_REQUEST, &settings);
    llhttp_of(parser)->data = parser;
    parser->events = events;
    parser->owner = owner;
}

void parser_begin(struct parser *parser, struct message *message)
{
    llhttp_t *llhttp = llhttp_of(parser);
    if (llhttp->error != HPE_OK || !parser->is_ended || parser->error != PARSER_OK ||
        parser->is_llhttp_done)
        llhttp_reset(llhttp);
    llhttp_of(parser)->method = 0;
    parser->message = message;
    parser->chunk_at = 0;
    parser->error = PARSER_OK;
    parser->reason = NULL;
    parser->amendments = 0;
    parser->is_amending = false;
    parser->is_method_unknown = false;
    parser->is_in_value = false;
    parser->is_in_chunks = false;
    parser->is_ended = false;
}

/* llhttp stops at the first byte that no method of its own has there; what is no method at all
 * shows where it ends. */
static enum parser_result read_unknown_method(struct parser *parser, const char *bytes, size_t len,
                                              size_t *used)
{
    size_t token = 0;
    while (token < len && field_is_token_byte((unsigned char)bytes[token]))
        token++;
    *used = token;
    parser->is_method_unknown = true;
    parser->chunk_at += (uint32_t)token;
    if (token == len)
        return PARSER_MORE;
    parser->reason = "malformed request line";
    fail(parser,
         parser->chunk_at != 0 && bytes[token] == ' ' ? PARSER_BAD_METHOD : PARSER_BAD_SYNTAX);
    return PARSER_FAILED;
}

/* "HTTP/3.0" is another version, "HTTP/x" is none. */
static enum parser_error version_error(const struct parser *parser)
{
    const char *reason = llhttp_get_error_reason((const llhttp_t *)parser->state);
    return strcmp(reason, "Invalid HTTP version") == 0 ? PARSER_BAD_VERSION : PARSER_BAD_SYNTAX;
}

/* Where llhttp stopped, and our own name for why. */
static enum parser_result settle(struct parser *parser, llhttp_errno_t error)
{
    if (error == HPE_OK)
        return PARSER_MORE;
    if (parser->is_ended && (error == HPE_PAUSED || error == HPE_PAUSED_UPGRADE)) {
        llhttp_resume(llhttp_of(parser));
        return PARSER_END;
    }
    if (parser->is_in_chunks && error == HPE_PAUSED) {
        llhttp_resume(llhttp_of(parser));
        return PARSER_MORE;
    }
    if (parser->error != PARSER_OK)
        return PARSER_FAILED;
    switch (error) {
    case HPE_INVALID_VERSION:
        parser->error = version_error(parser);
        break;
    case HPE_PAUSED_H2_UPGRADE:
        parser->error = PARSER_BAD_VERSION;
        break;
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING:
    case HPE_INVALID_CHUNK_SIZE:
        parser->error = PARSER_BAD_FRAMING;
        break;
    case HPE_INVALID_CONSTANT: /* a method of RTSP or ICE before "HTTP/" */
        parser->error =
            llhttp_of(parser)->method >= HTTP_SOURCE ? PARSER_BAD_METHOD : PARSER_BAD_SYNTAX;
        break;
    default:
        parser->error = PARSER_BAD_SYNTAX;
    }
    return PARSER_FAILED;
}

/* The head is complete. False when it is malformed all the same; `used` is then where it ends. */
static bool finish_head(struct parser *parser, char *bytes, size_t len, size_t *used)
{
    struct message *message = parser->message;
    const char *base = bytes - parser->chunk_at;
    struct slice known = message->target;
    parser->reason = request_lines_read(message, base, bytes + len);
    if (parser->reason == NULL)
        return true;
    parser->error = PARSER_BAD_SYNTAX;
    message->is_head_done = false;
    if (message->nheaders != 0) {
        const struct header_slice *field = &message->headers[message->nheaders - 1];
        known = field->value.len != 0 ? field->value : field->name;
    }
    *used = (size_t)(request_lines_end(base + known.at + known.len, bytes + len) - bytes);
    return false;
}

static char *blank_out(char *at, const char *end)
{
    for (; at < end && (*at == '\t' || *at == ' '); at++)
        *at = ' ';
    return at;
}

/* Where llhttp is stricter than the RFC, the bytes that it minds are replaced by ones that mean the
 * same: tabs behind Content-Length (RFC 9110, 5.5) by blanks, the minor version of HTTP/1.2 by the
 * highest that is known here (RFC 9110, 2.5). True when there was such a byte. */
static bool amend(struct parser *parser, char *base, const char *end)
{
    static const char start[] = " HTTP/1.";
    const struct slice *target = &parser->message->target;
    char *minor = base + target->at + target->len + sizeof(start) - 1;
    char *stop = (char *)llhttp_get_error_pos(llhttp_of(parser));
    switch (llhttp_get_errno(llhttp_of(parser))) {
    case HPE_INVALID_CONTENT_LENGTH:
        if (stop == NULL || stop >= end || *stop != '\t')
            return false;
        stop = blank_out(stop, end);
        parser->is_amending = stop == end;
        return true;
    case HPE_INVALID_VERSION:
        if (minor >= end || memcmp(minor - sizeof(start) + 1, start, sizeof(start) - 1) != 0 ||
            *minor < '2' || *minor > '9')
            return false;
        *minor = '1';
        return true;
    default:
        return false;
    }
}

/* The head begins again, from its first byte, which is still there. */
static llhttp_errno_t execute_again(struct parser *parser, char *base, size_t len)
{
    llhttp_reset(llhttp_of(parser));
    message_reset(parser->message);
    parser->chunk = base;
    parser->chunk_at = 0;
    parser->error = PARSER_OK;
    parser->reason = NULL;
    parser->is_in_value = false;
    return llhttp_execute(llhttp_of(parser), base, len);
}

/* "GET /" and the end of the line: HTTP/0.9 would have been answered here. */
static bool is_without_version(const struct parser *parser)
{
    const llhttp_t *llhttp = (const llhttp_t *)parser->state;
    return llhttp->http_major == 0 && llhttp->http_minor == 9 && !parser->message->is_head_done;
}

static enum parser_result feed_chunks(struct parser *parser, char *bytes, size_t len, size_t *used)
{
    struct str data;
    size_t step;
    for (*used = 0; *used < len;) {
        bool is_fine = true;
        switch (chunks_next(&parser->chunks, bytes + *used, len - *used, &step, &data)) {
        case CHUNKS_MORE:
            break;
        case CHUNKS_BEGIN:
            is_fine = parser->events->on_chunk == NULL ||
                      parser->events->on_chunk(parser->owner, parser->chunks.left);
            break;
        case CHUNKS_DATA:
            is_fine = parser->events->on_body == NULL ||
                      parser->events->on_body(parser->owner, (char *)data.ptr, data.len);
            break;
        case CHUNKS_END:
            *used += step;
            parser->is_ended = true;
            return PARSER_END;
        case CHUNKS_BAD:
            parser->error = PARSER_BAD_FRAMING;
            parser->reason = parser->chunks.reason;
            return PARSER_FAILED;
        }
        *used += step;
        if (!is_fine) {
            parser->error = PARSER_BODY_REFUSED;
            return PARSER_FAILED;
        }
    }
    return PARSER_MORE;
}

enum { MAX_AMENDMENTS = 8 };

static enum parser_result feed_llhttp(struct parser *parser, char *bytes, size_t len, size_t *used)
{
    llhttp_t *llhttp = llhttp_of(parser);
    struct message *message = parser->message;
    bool was_head_done = message->is_head_done;
    uint32_t fed_before = parser->chunk_at;
    parser->chunk = bytes;
    if (parser->is_method_unknown)
        return read_unknown_method(parser, bytes, len, used);
    if (parser->is_amending)
        parser->is_amending = blank_out(bytes, bytes + len) == bytes + len;
    llhttp_errno_t error = llhttp_execute(llhttp, bytes, len);
    if (error == HPE_INVALID_METHOD)
        return read_unknown_method(parser, bytes, len, used);
    while (error != HPE_OK && !message->is_head_done && parser->amendments < MAX_AMENDMENTS &&
           amend(parser, bytes - fed_before, bytes + len)) {
        parser->amendments++;
        error = execute_again(parser, bytes - fed_before, fed_before + len);
    }
    enum parser_result result = settle(parser, error);
    *used = len;
    if (result != PARSER_MORE || parser->is_in_chunks) {
        const char *stop = llhttp_get_error_pos(llhttp);
        *used = stop != NULL && stop >= bytes && stop <= bytes + len ? (size_t)(stop - bytes) : len;
    }
    parser->chunk = bytes;
    parser->chunk_at = fed_before;
    if (!was_head_done && message->is_head_done && !finish_head(parser, bytes, len, used))
        result = PARSER_FAILED;
    if (result != PARSER_END && is_without_version(parser)) { /* whatever else is wrong behind it */
        fail_version(parser);
        result = PARSER_FAILED;
        *used = message->target.at + message->target.len + 1 - fed_before;
    }
    if (!message->is_head_done) {
        parser->chunk_at += (uint32_t)*used;
        message->method = llhttp->method; /* whoever is refused has it */
    }
    return result;
}

enum parser_result parser_feed(struct parser *parser, char *bytes, size_t len, size_t *used)
{
    size_t rest_used = 0;
    if (parser->is_in_chunks)
        return feed_chunks(parser, bytes, len, used);
    enum parser_result result = feed_llhttp(parser, bytes, len, used);
    if (!parser->is_in_chunks || result != PARSER_MORE || !parser->message->is_chunked ||
        parser->message->has_other_codings)
        return result; /* codings that nobody undoes end with the head */
    chunks_begin(&parser->chunks);
    result = feed_chunks(parser, bytes + *used, len - *used, &rest_used);
    *used += rest_used;
    return result;
}

const char *parser_reason(const struct parser *parser)
{
    const char *reason = parser->reason;
    if (reason == NULL)
        reason = llhttp_get_error_reason((const llhttp_t *)parser->state);
    return reason != NULL ? reason : "malformed message";
}

void message_reset(struct message *message)
{
    struct header_slice *headers = message->headers;
    uint32_t cap = message->headers_cap, max = message->max_headers;
    *message = (struct message){.headers = headers, .headers_cap = cap, .max_headers = max};
    message->host = -1;
}

void message_deinit(struct message *message)
{
    free(message->headers);
    *message = (struct message){0};
}
