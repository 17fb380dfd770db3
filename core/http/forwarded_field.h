/*
 * forwarded_field.h - the field Forwarded (RFC 7239, 4), read from its end.
 *
 * Proxies append: the end is what those nearest to us wrote, the beginning what a client may have
 * made up. Read from the end, whatever is written before an element cannot change its meaning, not
 * even with quotes that do not match.
 */
#pragma once

#include "base/ip_address.h"

#include <stdbool.h>

/* Values without their quotes; what is escaped in them still is. Empty: not given. */
struct forwarded_element {
    struct str node; /* "for" */
    struct str proto;
    struct str host;
};

/* Takes the last element off. False at the end, and then `field` is empty; also where what is left
 * is malformed, and then it is as it was. Blanks around ; and : or [] without quotes are forgiven.
 */
bool forwarded_field_pop(struct str *field, struct forwarded_element *element);
/* Undoes \x. Returns the length; 0 when there is no room. */
size_t forwarded_field_text(struct str value, char *text, size_t bytes);
/* The address of a node, whose port is left out: "1.2.3.4:80", "[::1]:80", "::1". False for
 * "unknown", a made-up name (_hidden) and anything else. */
bool forwarded_node_address(struct str node, struct ip_address *address);
