/*
 * field.h - rules of header fields that requests and answers share (RFC 9110, 5).
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>

/* A name that may be sent: a token (RFC 9110, 5.6.2). */
bool field_is_name(struct str text);
