/*
 * One byte, one step. A state is named for what may come next.
 */
#include "http/chunks.h"

#include "http/field.h"

#include <stdbool.h>
#include <stddef.h>

enum state {
    SIZE_FIRST, /* a digit */
    SIZE,       /* a digit, or what ends the size */
    SIZE_LF,
    BEFORE_SEMICOLON, /* blanks were there: only another extension may follow */
    BEFORE_NAME,
    NAME,
    AFTER_NAME, /* blanks were there: "=" or another extension */
    BEFORE_VALUE,
    VALUE,
    QUOTED,
    QUOTED_PAIR,
    AFTER_QUOTES,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, /* a field, or the empty line */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    ENDED,
};

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t';
}

/* RFC 9110, 5.5 and 5.6.4: no control character but the tab */
static bool is_text(unsigned char c)
{
    return c == '\t' || (c >= ' ' && c != 127);
}

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool bad(struct chunks *chunks, const char *reason)
{
    chunks->reason = reason;
    return false;
}

static bool add_digit(struct chunks *chunks, int digit)
{
    chunks->state = SIZE;
    chunks->extension_bytes += chunks->digits == 0 && digit == 0; /* zeros without an end */
    if (chunks->digits != 0 || digit != 0)
        chunks->digits++;
    if (chunks->digits > 16)
        return bad(chunks, "a chunk size beyond 64 bits");
    chunks->left = chunks->left * 16 + (unsigned)digit;
    return true;
}

/* What may end the size, a name or a value: the line, or one more extension. */
static bool end_part(struct chunks *chunks, unsigned char c, const char *reason)
{
    if (c == '\r')
        chunks->state = SIZE_LF;
    else if (c == ';')
        chunks->state = BEFORE_NAME;
    else if (is_blank(c))
        chunks->state = BEFORE_SEMICOLON;
    else
        return bad(chunks, reason);
    return true;
}

static bool step_size(struct chunks *chunks, unsigned char c)
{
    int digit = hex_digit(c);
    if (digit >= 0)
        return add_digit(chunks, digit);
    if (chunks->state == SIZE_FIRST)
        return bad(chunks, "a chunk size that is no number");
    return end_part(chunks, c, "a chunk size that is no number");
}

/* RFC 9112, 7.1.1 */
static bool step_extension(struct chunks *chunks, unsigned char c)
{
    static const char reason[] = "a malformed chunk extension";
    if (++chunks->extension_bytes > CHUNKS_EXTENSION_BYTES + chunks->data_bytes)
        return bad(chunks, "chunk extensions beyond reason");
    switch (chunks->state) {
    case BEFORE_SEMICOLON:
        if (!is_blank(c) && c != ';')
            return bad(chunks, reason);
        return end_part(chunks, c, reason);
    case BEFORE_NAME:
        if (!is_blank(c) && !field_is_token_byte(c))
            return bad(chunks, reason);
        chunks->state = is_blank(c) ? BEFORE_NAME : NAME;
        return true;
    case NAME:
    case AFTER_NAME:
        if (c == '=')
            chunks->state = BEFORE_VALUE;
        else if (is_blank(c))
            chunks->state = AFTER_NAME;
        else if (chunks->state == AFTER_NAME && c != ';')
            return bad(chunks, reason);
        else if (!field_is_token_byte(c))
            return end_part(chunks, c, reason);
        return true;
    case BEFORE_VALUE:
        if (c == '"')
            chunks->state = QUOTED;
        else if (field_is_token_byte(c))
            chunks->state = VALUE;
        else if (!is_blank(c))
            return bad(chunks, reason);
        return true;
    case VALUE:
        return field_is_token_byte(c) || end_part(chunks, c, reason);
    case QUOTED:
        chunks->state = c == '"' ? AFTER_QUOTES : c == '\\' ? QUOTED_PAIR : QUOTED;
        return is_text(c) || bad(chunks, reason);
    case QUOTED_PAIR:
        chunks->state = QUOTED;
        return is_text(c) || bad(chunks, reason);
    default: /* AFTER_QUOTES */
        return end_part(chunks, c, reason);
    }
}

/* RFC 9112, 7.1.2 and 5 */
static bool step_trailer(struct chunks *chunks, unsigned char c)
{
    static const char reason[] = "a malformed trailer field";
    if (++chunks->trailer_bytes > CHUNKS_TRAILER_BYTES)
        return bad(chunks, "trailer fields beyond reason");
    switch (chunks->state) {
    case TRAILER:
        chunks->state = c == '\r' ? LAST_LF : TRAILER_NAME;
        return c == '\r' || field_is_token_byte(c) || bad(chunks, reason);
    case TRAILER_NAME:
        chunks->state = c == ':' ? TRAILER_VALUE : TRAILER_NAME;
        return c == ':' || field_is_token_byte(c) || bad(chunks, reason);
    case TRAILER_VALUE:
        chunks->state = c == '\r' ? TRAILER_LF : TRAILER_VALUE;
        return c == '\r' || is_text(c) || bad(chunks, reason);
    case TRAILER_LF:
        chunks->state = TRAILER;
        return c == '\n' || bad(chunks, reason);
    default: /* LAST_LF */
        chunks->state = ENDED;
        return c == '\n' || bad(chunks, reason);
    }
}

static bool step(struct chunks *chunks, unsigned char c)
{
    switch (chunks->state) {
    case SIZE_FIRST:
    case SIZE:
        return step_size(chunks, c);
    case SIZE_LF:
        chunks->state = chunks->left != 0 ? DATA : TRAILER;
        return c == '\n' || bad(chunks, "a chunk size that ends without CR LF");
    case DATA_CR:
        chunks->state = DATA_LF;
        return c == '\r' || bad(chunks, "chunk data that is longer than its size");
    case DATA_LF:
        chunks->state = SIZE_FIRST;
        chunks->digits = 0;
        return c == '\n' || bad(chunks, "chunk data that ends without CR LF");
    default:
        return chunks->state < DATA ? step_extension(chunks, c) : step_trailer(chunks, c);
    }
}

void chunks_begin(struct chunks *chunks)
{
    *chunks = (struct chunks){.state = SIZE_FIRST};
}

enum chunks_result chunks_next(struct chunks *chunks, const char *bytes, size_t len, size_t *used,
                               struct str *data)
{
    *used = 0;
    while (*used < len) {
        if (chunks->state == DATA) {
            size_t left = len - *used;
            data->ptr = bytes + *used;
            data->len = chunks->left < left ? (size_t)chunks->left : left;
            *used += data->len;
            chunks->left -= data->len;
            chunks->data_bytes += data->len;
            chunks->state = chunks->left != 0 ? DATA : DATA_CR;
            return CHUNKS_DATA;
        }
        if (!step(chunks, (unsigned char)bytes[(*used)++]))
            return CHUNKS_BAD;
        if (chunks->state == ENDED)
            return CHUNKS_END;
        if (chunks->state == DATA)
            return CHUNKS_BEGIN;
    }
    return CHUNKS_MORE;
}
