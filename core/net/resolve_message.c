#include "net/resolve_message.h"

#include <stdbool.h>

enum { HEADER_BYTES = 12, QUESTION_BYTES = 4, RECORD_BYTES = 10, TYPE_SOA = 6, SOA_NUMBERS = 20 };

struct reader {
    const unsigned char *bytes;
    size_t len;
    size_t at;
};

static bool has(const struct reader *reader, size_t count)
{
    return reader->len - reader->at >= count;
}

static uint32_t number(const struct reader *reader, size_t offset, int count)
{
    uint32_t value = 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | reader->bytes[reader->at + offset + (size_t)i];
    return value;
}

/* Over a name: labels to the empty one, or to a pointer. */
static bool skip_name(struct reader *reader)
{
    while (has(reader, 1)) {
        unsigned char len = reader->bytes[reader->at];
        size_t step = len >= 0xc0 ? 2 : (size_t)len + 1;
        if (!has(reader, step))
            return false;
        reader->at += step;
        if (len == 0 || len >= 0xc0)
            return true;
    }
    return false;
}

static bool skip_questions(struct reader *reader, uint32_t count)
{
    while (count-- != 0) {
        if (!skip_name(reader) || !has(reader, QUESTION_BYTES))
            return false;
        reader->at += QUESTION_BYTES;
    }
    return true;
}

uint32_t message_negative_ttl(const unsigned char *bytes, size_t len)
{
    struct reader reader = {bytes, len, HEADER_BYTES};
    if (len < HEADER_BYTES)
        return 0;
    struct reader header = {bytes, len, 0};
    uint32_t count = number(&header, 6, 2) + number(&header, 8, 2); /* answers and authorities */
    if (!skip_questions(&reader, number(&header, 4, 2)))
        return 0;
    while (count-- != 0) {
        if (!skip_name(&reader) || !has(&reader, RECORD_BYTES))
            return 0;
        uint32_t type = number(&reader, 0, 2), ttl = number(&reader, 4, 4);
        uint32_t size = number(&reader, 8, 2);
        reader.at += RECORD_BYTES;
        if (!has(&reader, size))
            return 0;
        reader.at += size;
        if (type == TYPE_SOA && size >= SOA_NUMBERS) {
            struct reader last = {bytes, len, reader.at - 4};
            uint32_t minimum = number(&last, 0, 4);
            return minimum < ttl ? minimum : ttl;
        }
    }
    return 0;
}
