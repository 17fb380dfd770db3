/*
 * field.h - rules of header fields that requests and answers share (RFC 9110, 5).
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>

/* A name that may be sent: a token (RFC 9110, 5.6.2). */
bool field_is_name(struct str text);
/* What Upgrade may name: "websocket", "h2c", "TLS/1.0" (RFC 9110, 7.8). */
bool field_is_protocol(struct str text);
/* Whether a list of tokens between commas, such as that of Connection, holds this one, in any case.
 */
bool field_lists(struct str list, struct str token);
