#include "http/response.h"

#include "base/mem.h"

#include <string.h>

struct reason {
    uint16_t status;
    const char *text;
};

/* IANA HTTP Status Code Registry */
static const struct reason reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

struct str response_reason(uint16_t status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        if (reasons[i].status == status)
            return str_of(reasons[i].text);
    return str_of("Unknown");
}

static char *put(char *at, const char *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}

#define PUT_LITERAL(at, text) put((at), (text), sizeof(text) - 1)

static char *put_u64(char *at, uint64_t value)
{
    char digits[20];
    size_t from = sizeof(digits);
    do {
        digits[--from] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return put(at, digits + from, sizeof(digits) - from);
}

static char *put_status_line(char *at, uint16_t status)
{
    if (status == 200)
        return PUT_LITERAL(at, "HTTP/1.1 200 OK\r\n");
    struct str reason = response_reason(status);
    at = PUT_LITERAL(at, "HTTP/1.1 ");
    at = put_u64(at, status);
    *at++ = ' ';
    at = put(at, reason.ptr, reason.len);
    return PUT_LITERAL(at, "\r\n");
}

static char *put_framing(char *at, const struct response_head *head)
{
    switch (head->framing) {
    case RESPONSE_LENGTH:
        at = PUT_LITERAL(at, "Content-Length: ");
        at = put_u64(at, head->length);
        return PUT_LITERAL(at, "\r\n");
    case RESPONSE_CHUNKED:
        return PUT_LITERAL(at, "Transfer-Encoding: chunked\r\n");
    case RESPONSE_UNTIL_CLOSE:
    case RESPONSE_NO_FRAMING:
        break;
    }
    return at;
}

/* Whether one of the lines has the name that `line` begins with. */
static bool has_field(struct str fields, struct str line)
{
    size_t name_len = (size_t)((const char *)memchr(line.ptr, ':', line.len) - line.ptr) + 1;
    while (fields.len >= name_len) {
        const char *end = memchr(fields.ptr, '\n', fields.len);
        if (str_equal_nocase((struct str){fields.ptr, name_len}, (struct str){line.ptr, name_len}))
            return true;
        if (end == NULL)
            return false;
        fields.len -= (size_t)(end + 1 - fields.ptr);
        fields.ptr = end + 1;
    }
    return false;
}

enum { FIXED_PARTS_BYTES = 320 }; /* more than all literals, the date, the id and the length */

void response_head_write(struct buf *out, const struct response_head *head)
{
    const struct answer *answer = head->answer;
    size_t room =
        FIXED_PARTS_BYTES + answer->content_type.len + answer->fields.len + head->line.len;
    if (out->cap - out->len < room)
        buf_reserve(out, room);
    char *at = put_status_line(out->ptr + out->len, answer->status);
    at = PUT_LITERAL(at, "Date: ");
    at = put(at, head->date, 29);
    if (head->id != NULL) {
        at = PUT_LITERAL(at, "\r\nX-Request-Id: ");
        at = put(at, head->id, REQUEST_ID_BYTES);
    }
    at = PUT_LITERAL(at, "\r\n");
    if (answer->content_type.len != 0) {
        at = PUT_LITERAL(at, "Content-Type: ");
        at = put(at, answer->content_type.ptr, answer->content_type.len);
        at = PUT_LITERAL(at, "\r\n");
    }
    at = put_framing(at, head);
    if (head->closes)
        at = PUT_LITERAL(at, "Connection: close\r\n");
    else if (head->says_keepalive)
        at = PUT_LITERAL(at, "Connection: keep-alive\r\n");
    if (head->line.len != 0 && !has_field(answer->fields, head->line))
        at = put(at, head->line.ptr, head->line.len);
    if (answer->fields.len != 0)
        at = put(at, answer->fields.ptr, answer->fields.len);
    at = PUT_LITERAL(at, "\r\n");
    out->len = (size_t)(at - out->ptr);
}
