/*
 * escape.h - bytes of unknown origin made safe for one line of text or for a JSON document.
 *
 * What is escaped: control characters (C0, DEL, C1), the line and paragraph separators U+2028/9 and
 * whatever is not UTF-8 (RFC 3629), so that nothing can forge a line or steer a terminal.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

/* One line of plain text: `\n`, `\t`, `\r`, `\xHH` for the rest; a backslash is doubled. Quotes are
 * left alone. */
void escape_text(struct buf *buf, struct str text);
/* A value behind `name=`: bare when it is plain, else in double quotes with `\"` and `\\`. */
void escape_value(struct buf *buf, struct str text);
/* A JSON string with its quotes; a byte that is not UTF-8 becomes U+FFFD. */
void escape_json(struct buf *buf, struct str text);
