#include "http/parser.h"

#include "base/mem.h"
#include "http/method.h"

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

static int on_reason(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parser *parser = llhttp->data;
    extend(parser, &parser->message->reason, at, len);
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

/* RFC 9110, 5.6.2 */
static bool is_token_byte(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool are_token_bytes(const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_token_byte((unsigned char)at[i]))
            return false;
    return true;
}

static int on_field(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parser *parser = llhttp->data;
    struct message *message = parser->message;
    if (message->is_head_done) { /* a trailer field: skipped */
        if (llhttp->type == HTTP_REQUEST || are_token_bytes(at, len))
            return 0;
        parser->reason = "the name of a trailer field is no token";
        return fail(parser, PARSER_BAD_SYNTAX);
    }
    if (message->nheaders == 0 || parser->is_in_value) {
        if (message->nheaders == message->max_headers)
            return fail(parser, PARSER_TOO_MANY_HEADERS);
        header_add(message);
        parser->is_in_value = false;
    }
    extend(parser, &message->headers[message->nheaders - 1].name, at, len);
    return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parser *parser = llhttp->data;
    if (parser->message->is_head_done)
        return 0;
    parser->is_in_value = true;
    struct slice *value = &parser->message->headers[parser->message->nheaders - 1].value;
    if (llhttp->type == HTTP_RESPONSE && value->len != 0) /* folded: its lines do not touch */
        value->len = slice_of(parser, at, len).at - value->at;
    extend(parser, value, at, len);
    return 0;
}

static int on_value_complete(llhttp_t *llhttp)
{
    struct parser *parser = llhttp->data;
    parser->is_in_value = true; /* also when the value was empty */
    return 0;
}

/* llhttp takes a request without a version for HTTP/0.9, which is not spoken either. */
static int fail_version(struct parser *parser)
{
    static const char start[] = " HTTP/";
    const struct slice *target = &parser->message->target;
    const char *at = parser->chunk - parser->chunk_at + target->at + target->len;
    parser->reason = "the request line has no version";
    return fail(parser,
                memcmp(at, start, sizeof(start) - 1) == 0 ? PARSER_BAD_VERSION : PARSER_BAD_SYNTAX);
}

/* RFC 9112, 6.3: answers that have no body whatever their fields say. */
static bool is_bodiless(const llhttp_t *llhttp)
{
    uint16_t status = llhttp->status_code;
    return llhttp->type == HTTP_RESPONSE && (status < 200 || status == 204 || status == 304);
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct parser *parser = llhttp->data;
    struct message *message = parser->message;
    bool has_no_body = parser->expects_no_body || is_bodiless(llhttp);
    if (has_no_body)
        llhttp->flags |= F_SKIPBODY; /* llhttp_should_keep_alive asks for it */
    message->method = llhttp->method;
    message->status = llhttp->status_code;
    message->version = (uint8_t)(llhttp->http_major * 10 + llhttp->http_minor);
    message->has_length = (llhttp->flags & F_CONTENT_LENGTH) != 0;
    message->is_chunked = (llhttp->flags & F_CHUNKED) != 0;
    message->content_length = message->has_length ? llhttp->content_length : 0;
    message->is_upgrade = llhttp->upgrade != 0;
    message->keeps_alive = llhttp_should_keep_alive(llhttp) != 0;
    if (message->version != 11 && message->version != 10)
        return llhttp->type == HTTP_REQUEST ? fail_version(parser)
                                            : fail(parser, PARSER_BAD_VERSION);
    message->is_head_done = true;
    llhttp->upgrade = 0; /* what is behind is the next request unless someone takes the upgrade */
    return has_no_body;  /* 1 tells llhttp that none follows */
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parser *parser = llhttp->data;
    if (parser->on_body == NULL || parser->on_body(parser->owner, (char *)at, len))
        return 0;
    return fail(parser, PARSER_BODY_REFUSED);
}

static int on_chunk_header(llhttp_t *llhttp)
{
    struct parser *parser = llhttp->data;
    if (parser->on_chunk == NULL || parser->on_chunk(parser->owner, llhttp->content_length))
        return 0;
    return fail(parser, PARSER_BODY_REFUSED);
}

static int on_message_complete(llhttp_t *llhttp)
{
    struct parser *parser = llhttp->data;
    parser->is_ended = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_target,
    .on_status = on_reason,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_chunk_header = on_chunk_header,
    .on_message_complete = on_message_complete,
};

void parser_init(struct parser *parser, enum parser_kind kind,
                 bool (*body)(void *owner, char *bytes, size_t len), void *owner)
{
    llhttp_init(llhttp_of(parser), kind == PARSER_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE,
                &settings);
    llhttp_of(parser)->data = parser;
    parser->on_body = body;
    parser->owner = owner;
}

void parser_begin(struct parser *parser, struct message *message)
{
    llhttp_t *llhttp = llhttp_of(parser);
    if (llhttp->error != HPE_OK || !parser->is_ended || parser->error != PARSER_OK)
        llhttp_reset(llhttp);
    parser->message = message;
    parser->chunk_at = 0;
    parser->error = PARSER_OK;
    parser->reason = NULL;
    parser->is_in_value = false;
    parser->is_ended = false;
    parser->expects_no_body = false;
}

void parser_expect_no_body(struct parser *parser)
{
    parser->expects_no_body = true;
}

/* A method that nobody knows, unless the byte that gave it away cannot be in one. */
static enum parser_error method_error(const struct parser *parser)
{
    const char *stop = llhttp_get_error_pos((const llhttp_t *)parser->state);
    return stop == NULL || is_token_byte((unsigned char)*stop) ? PARSER_BAD_METHOD
                                                               : PARSER_BAD_SYNTAX;
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
    if (parser->error != PARSER_OK)
        return PARSER_FAILED;
    switch (error) {
    case HPE_INVALID_METHOD:
        parser->error = method_error(parser);
        break;
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

/* Fields whose meaning the connection has to know. Names are compared only where length fits. */
static void note_header(struct message *message, uint32_t index, const char *base)
{
    struct header_slice *header = &message->headers[index];
    struct str name = {base + header->name.at, header->name.len};
    struct str value = {base + header->value.at, header->value.len};
    while (value.len != 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
        value.len--;
    header->value.len = (uint32_t)value.len;
    if (name.len == 4 && (name.ptr[0] | 0x20) == 'h' &&
        str_equal_nocase(name, (struct str){"host", 4})) {
        message->nhosts += message->nhosts < 2;
        message->host = (int16_t)index;
    } else if (name.len == 17 && str_equal_nocase(name, str_of("transfer-encoding"))) {
        message->has_other_codings |=
            message->has_transfer_encoding || !str_equal_nocase(value, str_of("chunked"));
        message->has_transfer_encoding = true;
    } else if (name.len == 6 && (name.ptr[0] | 0x20) == 'e' &&
               str_equal_nocase(name, (struct str){"expect", 6})) {
        message->wants_continue = str_equal_nocase(value, str_of("100-continue"));
    }
}

/* What llhttp lets pass and RFC 9112 does not: blanks in places (3), lines that end without CR
 * (2.2), folded fields (5.2), blanks before a colon and fields without a name (5.1). NULL when all
 * is well. */
static const char *check_lines(const struct message *message, const char *base, const char *end)
{
    static const char version[] = " HTTP/1.x\r\n";
    const struct slice *target = &message->target;
    const char *at = base + target->at + target->len;
    if (target->at != method_name(message->method).len + 1 || at[0] != ' ' || at[9] != '\r' ||
        at[10] != '\n')
        return "malformed request line";
    at += sizeof(version) - 1;
    for (uint32_t i = 0; i < message->nheaders; i++) {
        const struct slice *name = &message->headers[i].name;
        if (name->len == 0 || base + name->at != at || at[name->len] != ':' ||
            at[name->len - 1] == ' ')
            return "malformed header field";
        const struct slice *value = &message->headers[i].value;
        const char *line_end = base + value->at + value->len;
        if (value->len == 0 || line_end[0] != '\r') /* empty, or blanks behind it */
            line_end = memchr(at + name->len, '\r', (size_t)(end - at) - name->len);
        if (line_end == NULL || line_end[1] != '\n')
            return "a line ends without CR LF";
        at = line_end + 2; /* within a folded value, where no name begins */
    }
    return at[0] == '\r' && at[1] == '\n' ? NULL : "a line ends without CR LF";
}

/* The last part of the first line. */
static struct slice start_line_end(const struct parser *parser)
{
    const struct message *message = parser->message;
    if (message->status == 0)
        return message->target;
    return message->reason.len != 0 ? message->reason
                                    : (struct slice){0, sizeof("HTTP/1.1 200") - 1};
}

/* The head is complete. False when it is malformed all the same. */
static bool finish_head(struct parser *parser, char *bytes, size_t len)
{
    struct message *message = parser->message;
    const char *base = bytes - parser->chunk_at;
    if (llhttp_of(parser)->type == HTTP_REQUEST) {
        parser->reason = check_lines(message, base, bytes + len);
        if (parser->reason != NULL) {
            parser->error = PARSER_BAD_SYNTAX;
            message->is_head_done = false;
            return false;
        }
    }
    for (uint32_t i = 0; i < message->nheaders; i++)
        note_header(message, i, base);
    struct slice last = message->nheaders != 0 ? message->headers[message->nheaders - 1].value
                                               : start_line_end(parser);
    message->head_len = last.at + last.len;
    return true;
}

enum parser_result parser_feed(struct parser *parser, char *bytes, size_t len, size_t *used)
{
    llhttp_t *llhttp = llhttp_of(parser);
    struct message *message = parser->message;
    bool was_head_done = message->is_head_done;
    parser->chunk = bytes;
    llhttp_errno_t error = llhttp_execute(llhttp, bytes, len);
    enum parser_result result = settle(parser, error);
    *used = len;
    if (result != PARSER_MORE) {
        const char *stop = llhttp_get_error_pos(llhttp);
        *used = stop != NULL && stop >= bytes && stop <= bytes + len ? (size_t)(stop - bytes) : len;
    }
    if (!was_head_done && message->is_head_done && !finish_head(parser, bytes, len))
        result = PARSER_FAILED;
    if (!message->is_head_done)
        parser->chunk_at += (uint32_t)*used;
    return result;
}

enum parser_result parser_finish(struct parser *parser)
{
    return settle(parser, llhttp_finish(llhttp_of(parser))) == PARSER_END ? PARSER_END
                                                                          : PARSER_FAILED;
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
