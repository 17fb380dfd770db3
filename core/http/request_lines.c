#include "http/request_lines.h"

#include "http/field.h"

#include <stdint.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool are_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at == end;
}

/* Blanks are all that llhttp lets pass in a name without being a token's. Eight bytes are looked
 * at together while they lie before `end`: what is behind the name is shifted out
 * (little-endian). */
static inline bool has_blank(const char *name, size_t len, const char *end)
{
    static const uint64_t ones = 0x0101010101010101u;
    for (; len != 0 && end - name >= 8; name += 8) {
        uint64_t word;
        memcpy(&word, name, sizeof(word));
        word ^= ones * ' ';
        word = (word - ones) & ~word & (ones << 7);
        if (len <= 8)
            return word << (64 - 8 * len) != 0;
        if (word != 0)
            return true;
        len -= 8;
    }
    return len != 0 && memchr(name, ' ', len) != NULL;
}

/* One line: where the next begins, or NULL when it is malformed. */
static inline const char *check_field(struct header_slice *field, const char *base, const char *at,
                                      const char *end)
{
    size_t name_len = field->name.len;
    const char *colon = at + name_len;
    const char *value = base + field->value.at, *line_end = value + field->value.len;
    if (name_len == 0 || base + field->name.at != at || *colon != ':' ||
        has_blank(at, name_len, end))
        return NULL;
    if (field->value.len == 0) { /* llhttp does not say where it is */
        line_end = memchr(colon, '\r', (size_t)(end - colon));
        value = line_end;
    }
    bool is_usual = value == colon + 2 && colon[1] == ' ';
    if (!is_usual && (value == NULL || !are_blanks(colon + 1, value)))
        return NULL; /* a value on another line than its name */
    if (*line_end != '\r') {
        while (is_blank(*line_end))
            line_end++;
        if (*line_end != '\r')
            return NULL;
    }
    if (line_end[1] != '\n')
        return NULL;
    while (field->value.len != 0 && is_blank(value[field->value.len - 1]))
        field->value.len--;
    return line_end + 2;
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

static inline bool is_host(const char *name)
{
    static const char host[4] = {'h', 'o', 's', 't'};
    uint32_t word, wanted;
    memcpy(&word, name, sizeof(word));
    memcpy(&wanted, host, sizeof(wanted));
    return (word | 0x20202020u) == wanted;
}

/* Names are compared only where length and first byte fit. */
static inline unsigned read_field(struct message *message, uint32_t index, const char *base)
{
    const struct header_slice *header = &message->headers[index];
    struct str name = {base + header->name.at, header->name.len};
    struct str value = {base + header->value.at, header->value.len};
    switch (name.len << 8 | (unsigned char)(name.ptr[0] | 0x20)) {
    case 4 << 8 | 'h':
        if (is_host(name.ptr)) {
            if (message->nhosts < 2)
                message->nhosts++;
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

/* What the fields said about the connection (RFC 9112, 9.3). */
static void settle_connection(struct message *message, unsigned said)
{
    bool is_old = message->version == 10;
    message->keeps_alive = is_old ? (said & (SAYS_KEEP_ALIVE | SAYS_CLOSE)) == SAYS_KEEP_ALIVE
                                  : (said & SAYS_CLOSE) == 0;
    message->is_upgrade =
        !is_old && (said & (SAYS_UPGRADE | HAS_UPGRADE)) == (SAYS_UPGRADE | HAS_UPGRADE);
    if (is_old) /* RFC 9110, 10.1.1 */
        message->wants_continue = message->expects_more = false;
}

const char *request_lines_read(struct message *message, const char *base, const char *end)
{
    static const char version[] = " HTTP/1.x\r\n", folded[] = "folded header field";
    const struct slice *target = &message->target;
    const char *at = base + target->at + target->len;
    unsigned said = 0;
    if (base[target->at - 2] == ' ' || at[0] != ' ' || at[9] != '\r' || at[10] != '\n')
        return "malformed request line";
    if (message->has_folds)
        return folded;
    at += sizeof(version) - 1;
    message->is_chunked = false;
    for (uint32_t i = 0; i < message->nheaders; i++) {
        const char *line = at;
        at = check_field(&message->headers[i], base, line, end);
        if (at == NULL)
            return is_blank(*line) ? folded : "malformed header field";
        said |= read_field(message, i, base);
    }
    if (at[0] != '\r' || at[1] != '\n')
        return "a line ends without CR LF";
    message->head_len = (uint32_t)(at + 2 - base);
    message->is_chunked &= !message->has_bad_coding;
    settle_connection(message, said);
    return NULL;
}

const char *request_lines_end(const char *from, const char *end)
{
    const char *at = from;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL && ++at < end) {
        if (*at == '\n')
            return at + 1;
        if (*at == '\r') /* and any byte: llhttp looks no further */
            return at + 1 < end ? at + 2 : end;
    }
    return end;
}
