/*
 * pattern.h - the pattern of one route, taken apart and checked before the router's tree is
 * touched, and what segments of a path are compared by. See router.h for what a pattern may be.
 */
#pragma once

#include "base/str.h"
#include "http/router.h"

#include <stdbool.h>
#include <stdint.h>

enum { PATTERN_CANONICAL_BYTES = ROUTER_MAX_PATTERN * 3 };

struct pattern_part {
    struct str text; /* a literal as written, or a parameter's name */
    int kind;        /* enum route_param_kind; -1: a literal */
};

struct pattern {
    uint32_t nparts;
    uint32_t nparams;
    struct pattern_part parts[ROUTER_MAX_PATTERN];
};

/* NULL, or what is wrong with it: a static text for people. Borrows `text`. */
const char *pattern_parse(struct str text, struct pattern *pattern);
/* Writes the one form that all spellings of a segment share (RFC 3986, 6.2.2) into `out`, which
 * holds PATTERN_CANONICAL_BYTES. Returns its length, or -1 when it is longer than any pattern could
 * be. */
int pattern_canonical(struct str raw, char *out);
/* An optional "-" and digits that fit int64_t. */
bool segment_is_int(struct str text);
/* A decimal number as Lua writes it: -1, .5, 2.5e-3. */
bool segment_is_number(struct str text);
