#include "http/answer_head.h"

#include "http/field.h"

#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
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

/* "HTTP/1.1 200 OK", without its CR LF; the reason and the blank before it may be missing. */
static bool is_status_line(const char *at, const char *end)
{
    enum { STATUS_BYTES = sizeof("HTTP/1.1 200") - 1 };
    if (end - at < STATUS_BYTES || memcmp(at, "HTTP/1.", 7) != 0 || !is_digit(at[7]) ||
        at[8] != ' ')
        return false;
    if (at[9] < '1' || at[9] > '9' || !is_digit(at[10]) || !is_digit(at[11]))
        return false;
    at += STATUS_BYTES;
    return at == end || (at[0] == ' ' && is_text(at, end));
}

static const char *check_field(const char *at, const char *end, bool is_first)
{
    if (*at == ' ' || *at == '\t') { /* folded */
        if (is_first)
            return "a field begins with a blank";
        return is_text(at, end) ? NULL : "a field holds a control character";
    }
    const char *colon = memchr(at, ':', (size_t)(end - at));
    if (colon == NULL)
        return "a field has no colon";
    if (!field_is_name((struct str){at, (size_t)(colon - at)}))
        return "the name of a field is no token";
    return is_text(colon, end) ? NULL : "a field holds a control character";
}

const char *answer_check_lines(const char *base, const char *end)
{
    const char *at = base;
    uint32_t nlines = 0;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL || line_end == at || line_end[-1] != '\r')
            break;
        const char *wrong = NULL;
        if (nlines == 0)
            wrong = is_status_line(at, line_end - 1) ? NULL : "malformed status line";
        else if (line_end - 1 == at)
            return NULL; /* the end of the head */
        else
            wrong = check_field(at, line_end - 1, nlines == 1);
        if (wrong != NULL)
            return wrong;
        nlines++;
        at = line_end + 1;
    }
    return "a line ends without CR LF";
}

const char *answer_check_framing(const struct message *message)
{
    if (message->has_transfer_encoding && (message->has_other_codings || !message->is_chunked))
        return "its Transfer-Encoding is not chunked";
    return NULL;
}

bool answer_is_doubtful(const struct message *message)
{
    /* RFC 9112, 6.1: HTTP/1.0 knows no chunks; and 204 has no body, whoever announces one. */
    return (message->version == 10 && message->has_transfer_encoding) ||
           (message->status == 204 &&
            (message->has_transfer_encoding || message->content_length != 0));
}

void answer_unfold(const struct message *message, char *head)
{
    for (uint32_t i = 0; i < message->nheaders; i++) {
        char *at = head + message->headers[i].value.at;
        for (char *end = at + message->headers[i].value.len; at < end; at++)
            if (*at == '\r' || *at == '\n')
                *at = ' ';
    }
}

/* The digits behind `name` and "=", or false. */
static bool read_parameter(struct str part, const char *name, uint64_t *value)
{
    size_t len = strlen(name);
    while (part.len != 0 && (part.ptr[0] == ' ' || part.ptr[0] == '\t')) {
        part.ptr++;
        part.len--;
    }
    while (part.len != 0 && (part.ptr[part.len - 1] == ' ' || part.ptr[part.len - 1] == '\t'))
        part.len--;
    if (part.len <= len + 1 || part.ptr[len] != '=' ||
        !str_equal_nocase((struct str){part.ptr, len}, str_of(name)))
        return false;
    return str_to_u64((struct str){part.ptr + len + 1, part.len - len - 1}, value);
}

static void read_hints(struct keep_alive *hints, struct str value)
{
    const char *at = value.ptr, *end = value.ptr + value.len;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *part_end = comma != NULL ? comma : end;
        struct str part = {at, (size_t)(part_end - at)};
        if (read_parameter(part, "timeout", &hints->timeout_s))
            hints->has_timeout = true;
        else if (read_parameter(part, "max", &hints->max))
            hints->has_max = true;
        at = part_end + 1;
    }
}

struct keep_alive answer_keep_alive(const struct message *message, const char *head)
{
    static const struct str wanted = {"keep-alive", 10};
    struct keep_alive hints = {0};
    for (uint32_t i = 0; i < message->nheaders; i++) {
        const struct header_slice *header = &message->headers[i];
        if (header->name.len == wanted.len &&
            str_equal_nocase((struct str){head + header->name.at, header->name.len}, wanted))
            read_hints(&hints, (struct str){head + header->value.at, header->value.len});
    }
    return hints;
}

const char *answer_guess(struct str bytes)
{
    if (bytes.len >= 2 && (bytes.ptr[0] == 0x15 || bytes.ptr[0] == 0x16) && bytes.ptr[1] == 0x03)
        return "this is no HTTP: the server speaks TLS, so https:// may do";
    if (bytes.len >= 4 && bytes.ptr[0] == 0 && bytes.ptr[1] == 0 && bytes.ptr[3] == 0x04)
        return "this is no HTTP/1: the server speaks HTTP/2";
    return NULL;
}
