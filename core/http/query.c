/* See query.h. */
#include "http/query.h"

#include <string.h>

static const char digits[] = "0123456789ABCDEF";

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int percent_byte_at(struct str text, size_t at)
{
    if (text.len - at < 3)
        return -1;
    int high = hex_value(text.ptr[at + 1]), low = hex_value(text.ptr[at + 2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

bool percent_is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

bool percent_is_valid(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '%' && percent_byte_at(text, i) < 0)
            return false;
    return true;
}

size_t percent_decode(char *out, struct str text, int mode)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        int byte = c == '%' ? percent_byte_at(text, i) : -1;
        if (byte >= 0) {
            c = (char)byte;
            i += 2;
        } else if (c == '+' && mode == PERCENT_FORM) {
            c = ' ';
        }
        out[len++] = c;
    }
    return len;
}

static void add_escaped(struct buf *out, unsigned char c)
{
    char text[3] = {'%', digits[c >> 4], digits[c & 15]};
    buf_add(out, text, sizeof(text));
}

void percent_add(struct buf *out, struct str text, int mode)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (percent_is_unreserved(c))
            buf_add_char(out, (char)c);
        else if (c == ' ' && mode == PERCENT_FORM)
            buf_add_char(out, '+');
        else
            add_escaped(out, c);
    }
}

void percent_add_target(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool is_allowed =
            percent_is_unreserved(c) || (c != '\0' && strchr("!$&'()*+,;=:@/?", c) != NULL);
        if (is_allowed || (c == '%' && percent_byte_at(text, i) >= 0))
            buf_add_char(out, (char)c);
        else
            add_escaped(out, c);
    }
}

/* Cuts `text` at the first `separator`; *rest is what follows it. */
static struct str cut(struct str text, char separator, struct str *rest)
{
    const char *at = text.len > 0 ? memchr(text.ptr, separator, text.len) : NULL;
    if (at == NULL) {
        *rest = (struct str){text.ptr + text.len, 0};
        return text;
    }
    size_t len = (size_t)(at - text.ptr);
    *rest = (struct str){at + 1, text.len - len - 1};
    return (struct str){text.ptr, len};
}

void query_begin(struct query_cursor *cursor, struct str query)
{
    *cursor = (struct query_cursor){.rest = query};
}

bool query_next(struct query_cursor *cursor)
{
    struct str piece = {0};
    while (piece.len == 0) {
        if (cursor->rest.len == 0)
            return false;
        piece = cut(cursor->rest, '&', &cursor->rest);
    }
    cursor->needs_decoding = false;
    for (size_t i = 0; i < piece.len; i++)
        cursor->needs_decoding |= piece.ptr[i] == '%' || piece.ptr[i] == '+';
    cursor->name = cut(piece, '=', &cursor->value);
    cursor->has_value = cursor->name.len < piece.len;
    return true;
}

static struct str trim(struct str text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
        text = (struct str){text.ptr + 1, text.len - 1};
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

void cookie_begin(struct cookie_cursor *cursor, struct str header)
{
    *cursor = (struct cookie_cursor){.rest = header};
}

bool cookie_next(struct cookie_cursor *cursor)
{
    while (cursor->rest.len > 0) {
        struct str piece = cut(cursor->rest, ';', &cursor->rest), value;
        struct str name = cut(piece, '=', &value);
        if (name.len == piece.len)
            continue;
        cursor->name = trim(name);
        cursor->value = trim(value);
        if (cursor->value.len >= 2 && cursor->value.ptr[0] == '"' &&
            cursor->value.ptr[cursor->value.len - 1] == '"')
            cursor->value = (struct str){cursor->value.ptr + 1, cursor->value.len - 2};
        if (cursor->name.len > 0)
            return true;
    }
    return false;
}
