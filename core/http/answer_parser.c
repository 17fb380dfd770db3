#include "http/answer_parser.h"

#include "base/mem.h"
#include "http/field.h"

#include <string.h>

static const char version[] = "HTTP/1.";

enum { VERSION_BYTES = sizeof(version) - 1, STATUS_BYTES = sizeof("HTTP/1.1 200") - 1 };

void answer_parser_begin(struct answer_parser *parser, struct message *message)
{
    *parser = (struct answer_parser){.message = message};
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* RFC 9110, 5.5: what may be in a value, or in a reason. */
static bool is_text(const char *at, const char *end)
{
    static const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    for (uint64_t word; end - at >= 8; at += 8) { /* as long as eight are beyond doubt */
        memcpy(&word, at, 8);
        uint64_t is_low = (word - ones * 0x20) & ~word;
        uint64_t as_delete = word ^ ones * 0x7f;
        if (((is_low | ((as_delete - ones) & ~as_delete)) & tops) != 0)
            break;
    }
    for (; at < end; at++) {
        unsigned char c = (unsigned char)*at;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* "HTTP/1.1 200 OK"; the reason and the blank before it may be missing. */
static const char *take_status_line(struct message *message, const char *base, const char *end)
{
    if (end - base < STATUS_BYTES || memcmp(base, version, VERSION_BYTES) != 0 ||
        !is_digit(base[7]) || base[8] != ' ')
        return "malformed status line";
    if (base[7] > '1')
        return "its version is neither HTTP/1.0 nor HTTP/1.1";
    const char *status = base + 9, *at = base + STATUS_BYTES;
    if (status[0] < '1' || status[0] > '9' || !is_digit(status[1]) || !is_digit(status[2]) ||
        (at != end && (at[0] != ' ' || !is_text(at, end))))
        return "malformed status line";
    message->version = (uint8_t)(10 + base[7] - '0');
    message->status =
        (uint16_t)((status[0] - '0') * 100 + (status[1] - '0') * 10 + status[2] - '0');
    if (at != end)
        message->reason = (struct slice){STATUS_BYTES + 1, (uint32_t)(end - at - 1)};
    message->head_len = (uint32_t)(end - base);
    return NULL;
}

static struct header_slice *add_header(struct message *message)
{
    if (message->nheaders == message->headers_cap) {
        message->headers_cap = message->headers_cap != 0 ? message->headers_cap * 2 : 16;
        message->headers =
            mem_grow(message->headers, message->headers_cap * sizeof(*message->headers));
    }
    return &message->headers[message->nheaders++];
}

static const char *take_folded(struct message *message, const char *base, const char *at,
                               const char *end)
{
    if (message->nheaders == 0)
        return "a field begins with a blank";
    message->has_folds = true;
    if (!is_text(at, end))
        return "a field holds a control character";
    while (end > at && is_blank(end[-1]))
        end--;
    struct slice *value = &message->headers[message->nheaders - 1].value;
    if (end > at)
        value->len = (uint32_t)(end - base) - value->at;
    message->head_len = value->at + value->len;
    return NULL;
}

static const char *take_field(struct message *message, const char *base, const char *at,
                              const char *end)
{
    if (is_blank(*at))
        return take_folded(message, base, at, end);
    const char *colon = memchr(at, ':', (size_t)(end - at));
    if (colon == NULL)
        return "a field has no colon";
    if (!field_is_name((struct str){at, (size_t)(colon - at)}))
        return "the name of a field is no token";
    if (!is_text(colon, end))
        return "a field holds a control character";
    const char *value = colon + 1;
    while (value < end && is_blank(*value))
        value++;
    while (end > value && is_blank(end[-1]))
        end--;
    struct header_slice *header = add_header(message);
    header->name = (struct slice){(uint32_t)(at - base), (uint32_t)(colon - at)};
    header->value = (struct slice){(uint32_t)(value - base), (uint32_t)(end - value)};
    message->head_len = (uint32_t)(end - base);
    return NULL;
}

/* ---- fields that say how the answer goes on ---- */

/* The next of a list, without the blanks around it; false at the end. */
static bool next_of_list(struct str *list, struct str *item)
{
    if (list->ptr == NULL)
        return false;
    const char *comma = memchr(list->ptr, ',', list->len);
    size_t len = comma != NULL ? (size_t)(comma - list->ptr) : list->len;
    *item = (struct str){list->ptr, len};
    *list = comma != NULL ? (struct str){comma + 1, list->len - len - 1} : (struct str){0};
    while (item->len != 0 && is_blank(item->ptr[0])) {
        item->ptr++;
        item->len--;
    }
    while (item->len != 0 && is_blank(item->ptr[item->len - 1]))
        item->len--;
    return true;
}

/* RFC 9110, 8.6: the same length several times is that length. */
static const char *note_length(struct message *message, struct str value)
{
    struct str item;
    while (next_of_list(&value, &item)) {
        uint64_t length;
        if (!str_to_u64(item, &length))
            return "its Content-Length is no number of bytes";
        if (message->has_length && message->content_length != length)
            return "it has two different lengths";
        message->has_length = true;
        message->content_length = length;
    }
    return NULL;
}

static void note_coding(struct message *message, struct str value)
{
    bool is_chunked = str_equal_nocase(value, (struct str){"chunked", 7});
    message->has_other_codings |= message->has_transfer_encoding || !is_chunked;
    message->has_transfer_encoding = true;
    message->is_chunked |= is_chunked;
}

struct wishes {
    bool closes;
    bool keeps;
};

static void note_connection(struct wishes *wishes, struct str value)
{
    struct str item;
    while (next_of_list(&value, &item)) {
        wishes->closes |= str_equal_nocase(item, (struct str){"close", 5});
        wishes->keeps |= str_equal_nocase(item, (struct str){"keep-alive", 10});
    }
}

static const char *end_head(struct message *message, const char *base)
{
    struct wishes wishes = {0};
    const char *wrong = NULL;
    for (uint32_t i = 0; i < message->nheaders && wrong == NULL; i++) {
        const struct header_slice *header = &message->headers[i];
        struct str name = {base + header->name.at, header->name.len};
        struct str value = {base + header->value.at, header->value.len};
        if (name.len == 14 && str_equal_nocase(name, (struct str){"content-length", 14}))
            wrong = note_length(message, value);
        else if (name.len == 17 && str_equal_nocase(name, (struct str){"transfer-encoding", 17}))
            note_coding(message, value);
        else if (name.len == 10 && str_equal_nocase(name, (struct str){"connection", 10}))
            note_connection(&wishes, value);
        else if (name.len == 16 && str_equal_nocase(name, (struct str){"content-encoding", 16}))
            message->has_content_coding = true;
    }
    if (wrong == NULL && message->has_length && message->has_transfer_encoding)
        wrong = "it has a Content-Length and a Transfer-Encoding";
    message->keeps_alive = !wishes.closes && (message->version == 11 || wishes.keeps);
    message->is_head_done = wrong == NULL;
    return wrong;
}

/* ---- lines ---- */

/* Whether what there is of the first line can become one. */
static bool can_begin(const char *base, size_t len)
{
    return memcmp(base, version, len < VERSION_BYTES ? len : VERSION_BYTES) == 0;
}

static enum answer_result bad(struct answer_parser *parser, const char *reason)
{
    parser->reason = reason;
    return ANSWER_BAD;
}

/* The line from line_at to `end`, which is its LF. */
static enum answer_result take_line(struct answer_parser *parser, const char *base, const char *end)
{
    struct message *message = parser->message;
    const char *at = base + parser->line_at, *wrong;
    if (end == at || end[-1] != '\r')
        return bad(parser, "a line ends without CR LF");
    end--;
    if (parser->nlines++ == 0)
        wrong = take_status_line(message, base, end);
    else if (at == end)
        wrong = end_head(message, base);
    else if (message->nheaders == message->max_headers && !is_blank(*at))
        return ANSWER_TOO_MANY;
    else
        wrong = take_field(message, base, at, end);
    return wrong != NULL ? bad(parser, wrong) : message->is_head_done ? ANSWER_DONE : ANSWER_MORE;
}

enum answer_result answer_parser_feed(struct answer_parser *parser, const char *base, size_t len,
                                      size_t *used)
{
    while (parser->scanned < len) {
        const char *end = memchr(base + parser->scanned, '\n', len - parser->scanned);
        if (end == NULL) {
            parser->scanned = (uint32_t)len;
            break;
        }
        enum answer_result result = take_line(parser, base, end);
        parser->scanned = parser->line_at = (uint32_t)(end + 1 - base);
        *used = parser->line_at;
        if (result != ANSWER_MORE)
            return result;
    }
    return parser->nlines != 0 || can_begin(base, len) ? ANSWER_MORE
                                                       : bad(parser, "malformed status line");
}
