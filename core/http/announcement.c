#include "http/announcement.h"

#include <string.h>

static const char line_start[] = "PROXY ";
static const unsigned char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

enum {
    HEAD_BYTES = 16, /* of version 2, before the addresses */
    COMMAND_AT = 12,
    FAMILY_AT = 13,
    LENGTH_AT = 14,
    TLV_HEAD_BYTES = 3,
    TLV_CRC32C = 0x03,
    TLV_SSL = 0x20,
    CLIENT_SSL = 0x01, /* a bit of the first byte of TLV_SSL */
};

static enum announcement_result refuse(struct announcement *announcement, size_t at,
                                       const char *fault)
{
    announcement->has_client = false;
    announcement->fault = fault;
    announcement->fault_at = at;
    return ANNOUNCEMENT_BAD;
}

/* ---- version 1 ---- */

/* What is before the next space, or before the end of the line. */
static struct str next_word(struct str *line)
{
    const char *space = line->len != 0 ? memchr(line->ptr, ' ', line->len) : NULL;
    struct str word = {line->ptr, space != NULL ? (size_t)(space - line->ptr) : line->len};
    size_t used = word.len + (space != NULL);
    line->ptr += used;
    line->len -= used;
    return word;
}

static bool is_port(struct str text)
{
    uint64_t number;
    return str_to_u64(text, &number) && number <= 65535 && (text.len == 1 || *text.ptr != '0');
}

/* "TCP4 1.2.3.4 5.6.7.8 1000 443": source and destination, then their ports. */
static enum announcement_result read_words(struct announcement *announcement, struct str line)
{
    struct ip_address destination;
    const char *start = line.ptr - (sizeof(line_start) - 1);
    struct str family = next_word(&line);
    bool is_four = str_equal(family, str_of("TCP4"));
    if (str_equal(family, str_of("UNKNOWN")))
        return ANNOUNCEMENT_READ; /* what follows is to be ignored */
    if (!is_four && !str_equal(family, str_of("TCP6")))
        return refuse(announcement, (size_t)(family.ptr - start), "expected TCP4, TCP6 or UNKNOWN");
    struct str source = next_word(&line), target = next_word(&line);
    if (!ip_address_read(&announcement->client, source) ||
        is_four == (memchr(source.ptr, ':', source.len) != NULL))
        return refuse(announcement, (size_t)(source.ptr - start),
                      "the client's address is none of that family");
    if (!ip_address_read(&destination, target) ||
        is_four == (memchr(target.ptr, ':', target.len) != NULL))
        return refuse(announcement, (size_t)(target.ptr - start),
                      "the destination's address is none of that family");
    for (int i = 0; i < 2; i++) {
        struct str port = next_word(&line);
        if (!is_port(port))
            return refuse(announcement, (size_t)(port.ptr - start),
                          "expected a port from 0 to 65535 without zeros in front");
    }
    if (line.len != 0 || line.ptr[-1] == ' ')
        return refuse(announcement, (size_t)(line.ptr - start), "expected the end of the line");
    announcement->has_client = true;
    return ANNOUNCEMENT_READ;
}

static enum announcement_result read_line(struct announcement *announcement, struct str bytes)
{
    size_t start_len = sizeof(line_start) - 1;
    size_t seen = bytes.len < ANNOUNCEMENT_LINE_MAX ? bytes.len : ANNOUNCEMENT_LINE_MAX;
    const char *end = memchr(bytes.ptr, '\r', seen);
    if (end == NULL && seen == ANNOUNCEMENT_LINE_MAX)
        return refuse(announcement, seen, "the line has no end within 107 bytes");
    if (end == NULL)
        return ANNOUNCEMENT_MORE;
    size_t line_len = (size_t)(end - bytes.ptr);
    if (line_len + 1 >= ANNOUNCEMENT_LINE_MAX)
        return refuse(announcement, line_len + 1, "the line has no end within 107 bytes");
    if (line_len + 1 == bytes.len)
        return ANNOUNCEMENT_MORE;
    if (end[1] != '\n')
        return refuse(announcement, line_len + 1, "expected LF behind CR");
    announcement->len = line_len + 2;
    return read_words(announcement, (struct str){bytes.ptr + start_len, line_len - start_len});
}

/* ---- version 2 ---- */

static uint32_t two_bytes(const unsigned char *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

/* Castagnoli's polynomial (RFC 4960, appendix B), of the header with zeros for the sum itself. */
static uint32_t sum_of(const unsigned char *bytes, size_t len, size_t sum_at)
{
    uint32_t sum = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        sum ^= i >= sum_at && i < sum_at + 4 ? 0 : bytes[i];
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (0x82f63b78 & (0 - (sum & 1)));
    }
    return ~sum;
}

/* Types, lengths and values up to the end of the header: those that say something to us. */
static enum announcement_result read_extras(struct announcement *announcement,
                                            const unsigned char *bytes, size_t at)
{
    while (at < announcement->len) {
        size_t value_at = at + TLV_HEAD_BYTES;
        if (value_at > announcement->len ||
            two_bytes(bytes + at + 1) > announcement->len - value_at)
            return refuse(announcement, at, "a TLV reaches beyond the end of the header");
        size_t value_len = two_bytes(bytes + at + 1);
        const unsigned char *value = bytes + value_at;
        if (bytes[at] == TLV_CRC32C) {
            if (value_len != 4)
                return refuse(announcement, at, "a CRC32C has 4 bytes");
            if (sum_of(bytes, announcement->len, value_at) !=
                (two_bytes(value) << 16 | two_bytes(value + 2)))
                return refuse(announcement, at, "the CRC32C differs: the header is damaged");
        } else if (bytes[at] == TLV_SSL && value_len != 0) {
            announcement->is_tls = (value[0] & CLIENT_SSL) != 0;
        }
        at = value_at + value_len;
    }
    return ANNOUNCEMENT_READ;
}

/* The source comes first. */
static void take_client(struct announcement *announcement, const unsigned char *bytes)
{
    switch (bytes[FAMILY_AT]) {
    case 0x11: /* IPv4, TCP or UDP: HTTP/3 comes over the latter */
    case 0x12:
        ip_address_from_four(&announcement->client, bytes + HEAD_BYTES);
        announcement->has_client = true;
        break;
    case 0x21: /* IPv6 */
    case 0x22:
        ip_address_from_six(&announcement->client, bytes + HEAD_BYTES);
        announcement->has_client = true;
        break;
    default: /* Unix sockets, and what the proxy cannot tell */
        break;
    }
}

/* Source and destination, and where they have them the ports of both. */
static size_t addresses_bytes(unsigned char family)
{
    static const size_t bytes[] = {0, 12, 36, 216}; /* unspecified, IPv4, IPv6, Unix */
    return (family & 0x0f) != 0 ? bytes[family >> 4] : 0;
}

static enum announcement_result read_binary(struct announcement *announcement,
                                            const unsigned char *bytes, size_t len,
                                            size_t max_bytes)
{
    if (len > COMMAND_AT && bytes[COMMAND_AT] >> 4 != 2)
        return refuse(announcement, COMMAND_AT, "this version is none of 1 and 2");
    if (len > COMMAND_AT && (bytes[COMMAND_AT] & 0x0f) > 1)
        return refuse(announcement, COMMAND_AT, "the command is neither LOCAL nor PROXY");
    bool is_local = len > COMMAND_AT && (bytes[COMMAND_AT] & 0x0f) == 0;
    unsigned char family = len > FAMILY_AT ? bytes[FAMILY_AT] : 0;
    if (!is_local && (family >> 4 > 3 || (family & 0x0f) > 2))
        return refuse(announcement, FAMILY_AT, "no such address family and protocol");
    if (len < HEAD_BYTES)
        return ANNOUNCEMENT_MORE;
    size_t rest = two_bytes(bytes + LENGTH_AT);
    size_t addresses = is_local ? 0 : addresses_bytes(family);
    if (rest > max_bytes)
        return refuse(announcement, LENGTH_AT,
                      "the header is longer than limit_request_header allows");
    if (rest < addresses)
        return refuse(announcement, LENGTH_AT, "the header is too short for its addresses");
    if (len < HEAD_BYTES + rest)
        return ANNOUNCEMENT_MORE;
    announcement->len = HEAD_BYTES + rest;
    if (is_local)
        return ANNOUNCEMENT_READ;
    take_client(announcement, bytes);
    /* Of no family there is no telling where its addresses end. */
    return addresses != 0 ? read_extras(announcement, bytes, HEAD_BYTES + addresses)
                          : ANNOUNCEMENT_READ;
}

/* How many of the first bytes are those of the pattern. */
static size_t common(const char *bytes, size_t len, const void *pattern, size_t pattern_len)
{
    size_t at = 0;
    while (at < len && at < pattern_len && bytes[at] == ((const char *)pattern)[at])
        at++;
    return at;
}

enum announcement_result announcement_read(struct announcement *announcement, const char *bytes,
                                           size_t len, size_t max_bytes)
{
    size_t of_line = common(bytes, len, line_start, sizeof(line_start) - 1);
    size_t of_binary = common(bytes, len, signature, sizeof(signature));
    *announcement = (struct announcement){0};
    if (of_binary == sizeof(signature))
        return read_binary(announcement, (const unsigned char *)bytes, len, max_bytes);
    if (of_line == sizeof(line_start) - 1)
        return read_line(announcement, (struct str){bytes, len});
    if (of_line == len || of_binary == len)
        return ANNOUNCEMENT_MORE;
    return refuse(announcement, of_line > of_binary ? of_line : of_binary,
                  "this is no PROXY header");
}
