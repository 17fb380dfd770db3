/*
 * buf.h - a growing run of bytes with an owner.
 *
 * A zeroed struct is an empty buf. Used for output that is being assembled and for input that has
 * to outlive the read that brought it.
 */
#pragma once

#include "base/str.h"

#include <stddef.h>

struct buf {
    char *ptr;
    size_t len;
    size_t cap;
};

void buf_deinit(struct buf *buf);
/* Makes room for `more` bytes behind len. 0 or -ENOMEM; for growth that a peer controls. */
int buf_try_reserve(struct buf *buf, size_t more);
/* Adds all of it, or nothing and answers -ENOMEM. */
int buf_try_add(struct buf *buf, struct str str);
/* The same as buf_try_reserve, but with the reserve of mem.h behind it, and so for what is small.
 * So do all that follow. */
void buf_reserve(struct buf *buf, size_t more);
void buf_add(struct buf *buf, const void *bytes, size_t len);
void buf_add_str(struct buf *buf, struct str str);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_add_u64(struct buf *buf, uint64_t value);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first `count` bytes. */
void buf_consume(struct buf *buf, size_t count);
struct str buf_str(const struct buf *buf);
