#include "base/buf.h"

#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST_BYTES = 256 };

void buf_deinit(struct buf *buf)
{
    free(buf->ptr);
    *buf = (struct buf){0};
}

/* How large it becomes; 0 for more than there can be. */
static size_t cap_for(const struct buf *buf, size_t more)
{
    size_t needed, cap = buf->cap != 0 ? buf->cap : BUF_FIRST_BYTES;
    if (more <= buf->cap - buf->len)
        return buf->cap;
    if (__builtin_add_overflow(buf->len, more, &needed))
        return 0;
    while (cap < needed)
        if (__builtin_mul_overflow(cap, 2, &cap))
            return 0;
    return cap;
}

int buf_try_reserve(struct buf *buf, size_t more)
{
    size_t cap = cap_for(buf, more);
    if (cap == buf->cap)
        return cap != 0 || more == 0 ? 0 : -ENOMEM;
    char *grown = cap != 0 ? mem_try_grow(buf->ptr, cap) : NULL;
    if (grown == NULL)
        return -ENOMEM;
    buf->ptr = grown;
    buf->cap = cap;
    return 0;
}

int buf_try_add(struct buf *buf, struct str str)
{
    if (str.len != 0 && buf_try_reserve(buf, str.len) != 0)
        return -ENOMEM;
    buf_add_str(buf, str);
    return 0;
}

void buf_reserve(struct buf *buf, size_t more)
{
    size_t cap = cap_for(buf, more);
    if (cap == buf->cap && more <= buf->cap - buf->len)
        return;
    ENSURE(cap != 0);
    buf->ptr = mem_grow(buf->ptr, cap);
    buf->cap = cap;
}

void buf_add(struct buf *buf, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    if (buf->cap - buf->len < len)
        buf_reserve(buf, len);
    memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
}

void buf_add_str(struct buf *buf, struct str str)
{
    buf_add(buf, str.ptr, str.len);
}

void buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_add_char(struct buf *buf, char c)
{
    if (buf->cap == buf->len)
        buf_reserve(buf, 1);
    buf->ptr[buf->len++] = c;
}

void buf_add_u64(struct buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    buf_add(buf, digits + at, sizeof(digits) - at);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ENSURE(len >= 0);
    buf_reserve(buf, (size_t)len + 1);
    vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, again);
    va_end(again);
    buf->len += (size_t)len;
}

void buf_consume(struct buf *buf, size_t count)
{
    ENSURE(count <= buf->len);
    if (count != 0 && count != buf->len)
        memmove(buf->ptr, buf->ptr + count, buf->len - count);
    buf->len -= count;
}

struct str buf_str(const struct buf *buf)
{
    return (struct str){buf->ptr, buf->len};
}
