/*
 * hop.h - which header fields are for one hop alone, so that a proxy does not hand them on (RFC
 * 9110, 7.6.1).
 */
#pragma once

#include "base/str.h"
#include "http/parser.h"

#include <stdbool.h>

/* Those that always are, with those that frame a body: each side frames its own. */
bool hop_is_own(struct str name);
/* Those that the Connection fields of this message name; `base` is the first byte of its head. */
bool hop_is_listed(const struct message *message, const char *base, struct str name);
/* Whether they name any but close, keep-alive and upgrade: else there is nothing to look up. */
bool hop_has_list(const struct message *message, const char *base);
