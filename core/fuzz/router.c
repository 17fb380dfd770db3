/*
 * Routes and paths: a router that took these patterns finds for a path what a comparison with each
 * of them finds, as far as there is a route at all; its parameters are pieces of the path.
 *
 * Input: patterns, one a line; the last line is a path.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "http/pattern.h"
#include "http/router.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATTERNS_MAX = 16, INPUT_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Up to `mark` or the end, without it; false when nothing is left. */
static bool take_until(struct str *text, char mark, struct str *piece)
{
    if (text->ptr == NULL)
        return false;
    const char *end = text->len != 0 ? memchr(text->ptr, mark, text->len) : NULL;
    *piece = (struct str){text->ptr, end != NULL ? (size_t)(end - text->ptr) : text->len};
    *text = end != NULL ? (struct str){end + 1, text->len - piece->len - 1} : (struct str){0};
    return true;
}

static bool is_same_segment(struct str pattern, struct str segment)
{
    static char left[PATTERN_CANONICAL_BYTES], right[PATTERN_CANONICAL_BYTES];
    int left_len = pattern_canonical(pattern, left), right_len = pattern_canonical(segment, right);
    return left_len >= 0 && left_len == right_len && memcmp(left, right, (size_t)left_len) == 0;
}

/* Numbers as well may be spelt with percent signs; what is too long for that is none then. */
static bool fits_number(int kind, struct str segment, bool is_encoded)
{
    static char text[PATTERN_CANONICAL_BYTES];
    if (is_encoded) {
        int len = pattern_canonical(segment, text);
        if (len < 0)
            return false;
        segment = (struct str){text, (size_t)len};
    }
    return kind == ROUTE_PARAM_INT ? segment_is_int(segment) : segment_is_number(segment);
}

static bool fits(const struct pattern_part *part, struct str segment, bool is_encoded)
{
    switch (part->kind) {
    case -1:
        return is_same_segment(part->text, segment);
    case ROUTE_PARAM_INT:
    case ROUTE_PARAM_NUMBER:
        return fits_number(part->kind, segment, is_encoded);
    default:
        return segment.len != 0;
    }
}

static bool has_encoded(struct str path)
{
    for (size_t i = 0; i < path.len; i++)
        if (path.ptr[i] == '%' || (unsigned char)path.ptr[i] > 0x7f)
            return true;
    return false;
}

/* Segment by segment, with nothing of the router's tree. */
static bool covers(const struct pattern *pattern, struct str path)
{
    struct str segment;
    bool is_encoded = has_encoded(path);
    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    path = (struct str){path.ptr + 1, path.len - 1};
    for (uint32_t i = 0; i < pattern->nparts; i++) {
        if (pattern->parts[i].kind == ROUTE_PARAM_REST)
            return path.ptr != NULL;
        if (!take_until(&path, '/', &segment) || !fits(&pattern->parts[i], segment, is_encoded))
            return false;
    }
    return path.ptr == NULL;
}

static void check_params(const struct router *router, const struct route_match *match,
                         struct str path)
{
    const char *end = path.ptr;
    ENSURE(match->nparams <= ROUTER_MAX_PARAMS);
    for (uint32_t i = 0; i < match->nparams; i++) {
        struct str value = match->params[i].value;
        ENSURE(value.ptr >= end && value.ptr + value.len <= path.ptr + path.len);
        ENSURE(match->params[i].needs_decoding ==
               (value.len != 0 && memchr(value.ptr, '%', value.len) != NULL));
        ENSURE(router_param_name(router, match->target, i).len != 0);
        end = value.ptr + value.len;
    }
    ENSURE(router_param_name(router, match->target, match->nparams).len == 0);
}

static void check(const struct router *router, struct pattern *const *patterns, uint32_t count,
                  struct str path)
{
    struct route_match match = {0};
    bool is_covered = false;
    bool is_found = router_match(router, ROUTER_GET, path, &match);
    for (uint32_t i = 0; i < count && !is_covered; i++)
        is_covered = patterns[i] != NULL && covers(patterns[i], path);
    ENSURE(is_found == (match.target >= 0));
    if (is_found) {
        ENSURE((uint32_t)match.target < count && patterns[match.target] != NULL);
        ENSURE(covers(patterns[match.target], path));
        check_params(router, &match, path);
    }
    ENSURE(is_found == is_covered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pattern *patterns[PATTERNS_MAX] = {0};
    struct str rest = {(const char *)data, len}, line = {NULL, 0};
    uint32_t count = 0;
    if (len == 0 || len > INPUT_MAX)
        return 0;
    struct router *router = router_new();
    while (count < PATTERNS_MAX && take_until(&rest, '\n', &line) && rest.ptr != NULL) {
        struct pattern *pattern = MEM_NEW(struct pattern);
        const char *wrong = pattern_parse(line, pattern), *why = NULL;
        int status = router_add(router, ROUTER_GET, line, (int32_t)count, &why);
        ENSURE(wrong == NULL || status == -EINVAL);
        ENSURE((status == 0) == (why == NULL));
        if (status == 0)
            patterns[count] = pattern;
        else
            free(pattern);
        count++;
    }
    check(router, patterns, count, line);
    router_free(router);
    for (uint32_t i = 0; i < count; i++)
        free(patterns[i]);
    return 0;
}
