#include "http/request_lines.h"

#include "http/field.h"
#include "http/method.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* From the colon to the value, or to the end of the line when that is empty. */
static bool are_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at == end;
}

/* The one line of the loop below; NULL when it is malformed, else where the next begins. */
static const char *check_field(struct header_slice *field, const char *base, const char *at,
                               const char *end)
{
    size_t name_len = field->name.len;
    const char *value = base + field->value.at, *line_end = value + field->value.len;
    if (name_len == 0 || base + field->name.at != at || at[name_len] != ':')
        return NULL;
    if (memchr(at, ' ', name_len) != NULL)
        return NULL;
    if (field->value.len == 0) { /* llhttp does not say where it is */
        line_end = memchr(at + name_len, '\r', (size_t)(end - at) - name_len);
        value = line_end;
    }
    if (value == NULL || (value != at + name_len + 1 && !are_blanks(at + name_len + 1, value)))
        return NULL; /* a value on another line than its name */
    while (is_blank(*line_end))
        line_end++;
    if (line_end[0] != '\r' || line_end[1] != '\n')
        return NULL;
    while (field->value.len != 0 && is_blank(value[field->value.len - 1]))
        field->value.len--;
    return line_end + 2;
}

const char *request_lines_check(struct message *message, const char *base, const char *end)
{
    static const char version[] = " HTTP/1.x\r\n";
    const struct slice *target = &message->target;
    const char *at = base + target->at + target->len;
    if (target->at != method_name(message->method).len + 1 || at[0] != ' ' || at[9] != '\r' ||
        at[10] != '\n')
        return "malformed request line";
    at += sizeof(version) - 1;
    for (uint32_t i = 0; i < message->nheaders; i++) {
        at = check_field(&message->headers[i], base, at, end);
        if (at == NULL)
            return "malformed header field";
    }
    return at[0] == '\r' && at[1] == '\n' ? NULL : "a line ends without CR LF";
}

/* RFC 9112, 6.1. Chunked has to be there once, and last. Empty elements are not skipped: who sends
 * them hopes that somebody reads the list in another way. */
static void read_coding(struct message *message, struct str value)
{
    const char *at = value.ptr, *end = value.ptr + value.len;
    message->has_transfer_encoding = true;
    do {
        while (at < end && is_blank(*at))
            at++;
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct str coding = {at, (size_t)((comma != NULL ? comma : end) - at)};
        while (coding.len != 0 && is_blank(coding.ptr[coding.len - 1]))
            coding.len--;
        message->has_bad_coding |= coding.len == 0 || message->is_chunked;
        if (str_equal_nocase(coding, str_of("chunked")))
            message->is_chunked = true;
        else
            message->has_other_codings = true;
        at = comma != NULL ? comma + 1 : NULL;
    } while (at != NULL);
}

enum { SAYS_CLOSE = 1, SAYS_KEEP_ALIVE = 2, SAYS_UPGRADE = 4, HAS_UPGRADE = 8 };

/* RFC 9110, 7.6.1 */
static unsigned read_connection(struct str value)
{
    struct str option;
    unsigned said = 0;
    while (field_next_element(&value, &option)) {
        if (str_equal_nocase(option, str_of("close")))
            said |= SAYS_CLOSE;
        else if (str_equal_nocase(option, str_of("keep-alive")))
            said |= SAYS_KEEP_ALIVE;
        else if (str_equal_nocase(option, str_of("upgrade")))
            said |= SAYS_UPGRADE;
    }
    return said;
}

/* RFC 9110, 10.1.1 */
static void read_expect(struct message *message, struct str value)
{
    struct str expectation;
    while (field_next_element(&value, &expectation)) {
        if (str_equal_nocase(expectation, str_of("100-continue")))
            message->wants_continue = true;
        else
            message->expects_more = true;
    }
}

/* Names are compared only where length and first byte fit. */
static unsigned read_field(struct message *message, uint32_t index, const char *base)
{
    const struct header_slice *header = &message->headers[index];
    struct str name = {base + header->name.at, header->name.len};
    struct str value = {base + header->value.at, header->value.len};
    switch (name.len << 8 | (unsigned char)(name.ptr[0] | 0x20)) {
    case 4 << 8 | 'h':
        if (str_equal_nocase(name, (struct str){"host", 4})) {
            message->nhosts += message->nhosts < 2;
            message->host = (int16_t)index;
        }
        break;
    case 6 << 8 | 'e':
        if (str_equal_nocase(name, str_of("expect")))
            read_expect(message, value);
        break;
    case 7 << 8 | 'u':
        return str_equal_nocase(name, str_of("upgrade")) ? HAS_UPGRADE : 0;
    case 10 << 8 | 'c':
        return str_equal_nocase(name, str_of("connection")) ? read_connection(value) : 0;
    case 17 << 8 | 't':
        if (str_equal_nocase(name, str_of("transfer-encoding")))
            read_coding(message, value);
        break;
    }
    return 0;
}

void request_lines_read(struct message *message, const char *base)
{
    unsigned said = 0;
    message->is_chunked = false;
    for (uint32_t i = 0; i < message->nheaders; i++)
        said |= read_field(message, i, base);
    message->is_chunked &= !message->has_bad_coding;
    message->keeps_alive = message->version == 10
                               ? (said & (SAYS_KEEP_ALIVE | SAYS_CLOSE)) == SAYS_KEEP_ALIVE
                               : (said & SAYS_CLOSE) == 0;
    message->is_upgrade = message->version != 10 &&
                          (said & (SAYS_UPGRADE | HAS_UPGRADE)) == (SAYS_UPGRADE | HAS_UPGRADE);
    if (message->version == 10) /* RFC 9110, 10.1.1 */
        message->wants_continue = message->expects_more = false;
}
