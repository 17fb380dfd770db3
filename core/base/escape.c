#include "base/escape.h"

#include <stdbool.h>
#include <string.h>

/* Length of the valid UTF-8 sequence at the start of `text`, its code point in *point; 0: invalid.
 */
static size_t utf8_decode(struct str text, uint32_t *point)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80   ? 1
                 : p[0] < 0xC2 ? 0
                 : p[0] < 0xE0 ? 2
                 : p[0] < 0xF0 ? 3
                 : p[0] < 0xF5 ? 4
                               : 0;
    if (len == 0 || len > text.len)
        return 0;
    uint32_t value = len == 1 ? p[0] : p[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (p[i] & 0x3Fu);
    }
    if (len > 1 &&
        (value < smallest[len] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)))
        return 0;
    *point = value;
    return len;
}

static bool is_unsafe(uint32_t point)
{
    return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029;
}

static void add_hex(struct buf *buf, const char *ptr, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf_printf(buf, "\\x%02x", (unsigned char)ptr[i]);
}

/* `quotes`: also escape what would end a quoted string. */
static void add_escaped(struct buf *buf, struct str text, bool quotes)
{
    while (text.len > 0) {
        uint32_t point = 0;
        size_t len = utf8_decode(text, &point);
        if (len == 0)
            add_hex(buf, text.ptr, len = 1);
        else if (point == '\n')
            buf_add_text(buf, "\\n");
        else if (point == '\r')
            buf_add_text(buf, "\\r");
        else if (point == '\t')
            buf_add_text(buf, "\\t");
        else if (is_unsafe(point))
            add_hex(buf, text.ptr, len);
        else if (point == '\\' || (quotes && point == '"'))
            buf_printf(buf, "\\%c", (char)point);
        else
            buf_add(buf, text.ptr, len);
        text.ptr += len;
        text.len -= len;
    }
}

void escape_text(struct buf *buf, struct str text)
{
    add_escaped(buf, text, false);
}

static bool is_bare(struct str text)
{
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= ' ' || c >= 0x7F || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return true;
}

void escape_value(struct buf *buf, struct str text)
{
    if (is_bare(text)) {
        buf_add_str(buf, text);
        return;
    }
    buf_add_char(buf, '"');
    add_escaped(buf, text, true);
    buf_add_char(buf, '"');
}

void escape_json(struct buf *buf, struct str text)
{
    buf_add_char(buf, '"');
    while (text.len > 0) {
        uint32_t point = 0;
        size_t len = utf8_decode(text, &point);
        if (len == 0) {
            buf_add_text(buf, "\\ufffd");
            len = 1;
        } else if (point == '"' || point == '\\')
            buf_printf(buf, "\\%c", (char)point);
        else if (point == '\n')
            buf_add_text(buf, "\\n");
        else if (is_unsafe(point))
            buf_printf(buf, "\\u%04x", point);
        else
            buf_add(buf, text.ptr, len);
        text.ptr += len;
        text.len -= len;
    }
    buf_add_char(buf, '"');
}
