#include "http/framing.h"

#include "http/field.h"

#include <string.h>

enum state {
    CHUNK_SIZE,
    CHUNK_BLANKS, /* behind the size */
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_CR, /* behind the data */
    CHUNK_LF,
    TRAILER_BEGIN,
    TRAILER_LINE,
    TRAILER_LF,
    LAST_LF,
};

void framing_begin(struct framing *framing, enum framing_kind kind, uint64_t length,
                   struct buf *trailers)
{
    *framing = (struct framing){.kind = (uint8_t)kind, .left = length, .trailers = trailers};
}

bool framing_ends_with(const struct framing *framing)
{
    return framing->kind == FRAMED_BY_END;
}

uint64_t framing_sure_bytes(const struct framing *framing)
{
    bool is_in_chunk = framing->kind == FRAMED_BY_CHUNKS && framing->state == CHUNK_DATA;
    if (framing->kind == FRAMED_BY_END)
        return UINT64_MAX;
    return framing->kind == FRAMED_BY_LENGTH || is_in_chunk ? framing->left : 0;
}

void framing_skip(struct framing *framing, size_t bytes)
{
    framing->body_bytes += bytes;
    if (framing->kind == FRAMED_BY_END)
        return;
    framing->left -= bytes;
    if (framing->left == 0 && framing->kind == FRAMED_BY_CHUNKS)
        framing->state = CHUNK_CR;
}

static enum framing_result bad(struct framing *framing, const char *reason)
{
    framing->reason = reason;
    return FRAMING_BAD;
}

static bool is_text_byte(unsigned char c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static int digit_of(char c)
{
    char lower = (char)(c | 0x20);
    if (c >= '0' && c <= '9')
        return c - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* A line of the trailers has come whole (without CR LF), with the line end of those before it. NULL
 * or what is wrong. */
static const char *end_trailer(struct framing *framing)
{
    struct buf *all = framing->trailers;
    char *line = all->ptr + framing->line_at, *end = all->ptr + all->len;
    if (*line == ' ' || *line == '\t') { /* folded (RFC 9112, 5.2) */
        if (framing->ntrailers == 0)
            return "a trailer field begins with a blank";
        line[-1] = ' ';
        buf_add_char(all, '\n');
        return NULL;
    }
    char *colon = memchr(line, ':', (size_t)(end - line));
    if (colon == NULL)
        return "a trailer field has no colon";
    if (!field_is_name((struct str){line, (size_t)(colon - line)}))
        return "the name of a trailer field is no token";
    char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    struct str name = {line, (size_t)(colon - line)};
    size_t value_len = (size_t)(end - value), value_at = (size_t)(value - all->ptr);
    buf_reserve(all, 3); /* "name:value" may be without the blank */
    line = all->ptr + framing->line_at;
    memmove(line + name.len + 2, all->ptr + value_at, value_len);
    memcpy(line + name.len, ": ", 2);
    all->len = framing->line_at + name.len + 2 + value_len;
    buf_add_char(all, '\n');
    return NULL;
}

static enum framing_result take_size(struct framing *framing, char c)
{
    int digit = digit_of(c);
    if (digit >= 0) {
        if (framing->left >> 60 != 0)
            return bad(framing, "a chunk size is beyond 64 bits");
        framing->left = framing->left << 4 | (unsigned)digit;
        framing->has_digits = true;
        return FRAMING_MORE;
    }
    if (!framing->has_digits)
        return bad(framing, "a chunk size is no number");
    if (c == '\r')
        framing->state = CHUNK_SIZE_LF;
    else if (c == ';')
        framing->state = CHUNK_EXTENSION;
    else if (c == ' ' || c == '\t')
        framing->state = CHUNK_BLANKS;
    else
        return bad(framing, "a chunk size is no number");
    return FRAMING_MORE;
}

/* One byte of what is around the data. */
static enum framing_result take_byte(struct framing *framing, char c)
{
    switch ((enum state)framing->state) {
    case CHUNK_SIZE:
        return take_size(framing, c);
    case CHUNK_BLANKS:
        if (c == '\r')
            framing->state = CHUNK_SIZE_LF;
        else if (c == ';')
            framing->state = CHUNK_EXTENSION;
        else if (c != ' ' && c != '\t')
            return bad(framing, "a chunk size is no number");
        return FRAMING_MORE;
    case CHUNK_EXTENSION:
        if (c == '\r')
            framing->state = CHUNK_SIZE_LF;
        else if (!is_text_byte((unsigned char)c))
            return bad(framing, "a chunk extension holds a control character");
        return FRAMING_MORE;
    case CHUNK_SIZE_LF:
        framing->state = framing->left != 0 ? CHUNK_DATA : TRAILER_BEGIN;
        return c == '\n' ? FRAMING_MORE : bad(framing, "a chunk size ends without CR LF");
    case CHUNK_CR:
        framing->state = CHUNK_LF;
        return c == '\r' ? FRAMING_MORE : bad(framing, "a chunk is longer than its size");
    case CHUNK_LF:
        framing->state = CHUNK_SIZE;
        framing->left = 0;
        framing->has_digits = false;
        return c == '\n' ? FRAMING_MORE : bad(framing, "a chunk ends without CR LF");
    case TRAILER_BEGIN:
        framing->state = c == '\r' ? LAST_LF : TRAILER_LINE;
        framing->line_at = framing->trailers->len;
        if (c == '\r')
            return FRAMING_MORE;
        /* fall through */
    case TRAILER_LINE:
        if (c == '\r')
            framing->state = TRAILER_LF;
        else if (!is_text_byte((unsigned char)c))
            return bad(framing, c == '\n' ? "a trailer field ends without CR LF"
                                          : "a trailer field holds a control character");
        else
            buf_add_char(framing->trailers, c);
        return FRAMING_MORE;
    case TRAILER_LF:
        if (c != '\n')
            return bad(framing, "a trailer field ends without CR LF");
        framing->state = TRAILER_BEGIN;
        framing->reason = end_trailer(framing);
        if (framing->reason == NULL && ++framing->ntrailers > FRAMING_TRAILERS_MAX) {
            framing->reason = "there are too many trailer fields";
            return FRAMING_TOO_LARGE;
        }
        return framing->reason == NULL ? FRAMING_MORE : FRAMING_BAD;
    case LAST_LF:
        return c == '\n' ? FRAMING_DONE : bad(framing, "the last chunk ends without CR LF");
    case CHUNK_DATA:
        break;
    }
    return FRAMING_MORE;
}

static enum framing_result take_piece(struct framing *framing, struct str *bytes, struct str *piece)
{
    size_t len = bytes->len < framing->left ? bytes->len : (size_t)framing->left;
    *piece = (struct str){bytes->ptr, len};
    bytes->ptr += len;
    bytes->len -= len;
    framing->left -= len;
    framing->body_bytes += len;
    return FRAMING_PIECE;
}

static enum framing_result next_of_chunks(struct framing *framing, struct str *bytes,
                                          struct str *piece)
{
    while (bytes->len != 0) {
        if (framing->state == CHUNK_DATA) {
            take_piece(framing, bytes, piece);
            if (framing->left == 0)
                framing->state = CHUNK_CR;
            return FRAMING_PIECE;
        }
        char c = *bytes->ptr++;
        bytes->len--;
        enum framing_result result = take_byte(framing, c);
        if (result != FRAMING_MORE)
            return result;
        if (++framing->around_bytes >
            FRAMING_AROUND_MAX + framing->body_bytes * FRAMING_AROUND_PER_BYTE) {
            framing->reason = "there is too much around the chunks of the body";
            return FRAMING_TOO_LARGE;
        }
    }
    return FRAMING_MORE;
}

enum framing_result framing_next(struct framing *framing, struct str *bytes, struct str *piece)
{
    switch ((enum framing_kind)framing->kind) {
    case FRAMED_BY_CHUNKS:
        return next_of_chunks(framing, bytes, piece);
    case FRAMED_BY_LENGTH:
        if (framing->left == 0)
            return FRAMING_DONE;
        return bytes->len != 0 ? take_piece(framing, bytes, piece) : FRAMING_MORE;
    case FRAMED_BY_END:
        framing->left = UINT64_MAX;
        return bytes->len != 0 ? take_piece(framing, bytes, piece) : FRAMING_MORE;
    case FRAMED_BY_NOTHING:
        break;
    }
    return FRAMING_DONE;
}
