/*
 * field.h - rules of header fields that requests and answers share (RFC 9110, 5).
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>

/* A byte of a token (RFC 9110, 5.6.2). */
bool field_is_token_byte(unsigned char c);
/* A name that may be sent: a token. */
bool field_is_name(struct str text);
/* Takes the next element off a list, without the blanks around it; empty ones are skipped (RFC
 * 9110, 5.6.1). Commas within quotes separate as well: no list that is read here has quotes. */
bool field_next_element(struct str *list, struct str *element);
/* What Upgrade may name: "websocket", "h2c", "TLS/1.0" (RFC 9110, 7.8). */
bool field_is_protocol(struct str text);
/* Whether a list of tokens between commas, such as that of Connection, holds this one, in any case.
 */
bool field_lists(struct str list, struct str token);
