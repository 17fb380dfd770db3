/*
 * pattern.c - checks a route's pattern segment by segment, and knows which spellings of a segment
 * are the same.
 */
#include "http/pattern.h"

#include "http/query.h"

#include <string.h>

/* Unreserved characters have one form only, the others of `pchar` (RFC 3986, 3.3) stay as they
 * come, anything else is percent-encoded. */
static bool is_segment_char(unsigned char c)
{
    return percent_is_unreserved(c) || (c != '\0' && strchr("!$&'()*+,;=:@", c) != NULL);
}

int pattern_canonical(struct str raw, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    int len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.ptr[i];
        bool must_encode = !is_segment_char(c);
        int byte = c == '%' ? percent_byte_at(raw, i) : -1;
        if (byte >= 0) {
            c = (unsigned char)byte;
            must_encode = !percent_is_unreserved(c);
            i += 2;
        }
        if (len + 3 > PATTERN_CANONICAL_BYTES)
            return -1;
        if (!must_encode) {
            out[len++] = (char)c;
            continue;
        }
        out[len++] = '%';
        out[len++] = digits[c >> 4];
        out[len++] = digits[c & 15];
    }
    return len;
}

static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return name.len > 0;
}

/* What stands between the braces. NULL or what is wrong with it. */
static const char *parse_param(struct str inside, struct pattern_part *part)
{
    const char *colon = memchr(inside.ptr, ':', inside.len);
    part->kind = ROUTE_PARAM_TEXT;
    part->text = inside;
    if (inside.len >= 3 && memcmp(inside.ptr + inside.len - 3, "...", 3) == 0) {
        part->kind = ROUTE_PARAM_REST;
        part->text.len -= 3;
    } else if (colon != NULL) {
        struct str type = {colon + 1, (size_t)(inside.ptr + inside.len - colon - 1)};
        part->text.len = (size_t)(colon - inside.ptr);
        if (str_equal(type, str_of("int")))
            part->kind = ROUTE_PARAM_INT;
        else if (str_equal(type, str_of("number")))
            part->kind = ROUTE_PARAM_NUMBER;
        else
            return "unknown parameter type, expected {name:int} or {name:number}";
    }
    if (!is_name(part->text))
        return "a parameter's name is made of letters, digits and _";
    return NULL;
}

static const char *parse_segment(struct str segment, bool is_last, struct pattern *pattern)
{
    struct pattern_part *part = &pattern->parts[pattern->nparts++];
    *part = (struct pattern_part){segment, -1};
    if (memchr(segment.ptr, '{', segment.len) == NULL &&
        memchr(segment.ptr, '}', segment.len) == NULL) {
        if (segment.len == 0 && !is_last)
            return "an empty segment (//) can never be what is meant";
        if (memchr(segment.ptr, '?', segment.len) != NULL ||
            memchr(segment.ptr, '#', segment.len) != NULL)
            return "a pattern covers the path only: no ? and no #";
        return NULL;
    }
    struct str inside = {segment.ptr + 1, segment.len - 2};
    if (segment.len < 2 || segment.ptr[0] != '{' || segment.ptr[segment.len - 1] != '}' ||
        memchr(inside.ptr, '{', inside.len) != NULL || memchr(inside.ptr, '}', inside.len) != NULL)
        return "a parameter fills its whole segment: /{name}/";
    const char *wrong = parse_param(inside, part);
    if (wrong != NULL)
        return wrong;
    if (part->kind == ROUTE_PARAM_REST && !is_last)
        return "{name...} must be the last segment";
    if (++pattern->nparams > ROUTER_MAX_PARAMS)
        return "more than 16 parameters";
    for (uint32_t i = 0; i + 1 < pattern->nparts; i++)
        if (pattern->parts[i].kind >= 0 && str_equal(pattern->parts[i].text, part->text))
            return "two parameters have the same name";
    return NULL;
}

const char *pattern_parse(struct str text, struct pattern *pattern)
{
    pattern->nparts = pattern->nparams = 0;
    if (text.len == 0 || text.ptr[0] != '/')
        return "a pattern begins with /";
    if (text.len > ROUTER_MAX_PATTERN)
        return "longer than 1024 bytes";
    if (memchr(text.ptr, '\0', text.len) != NULL)
        return "a pattern has no NUL bytes";
    const char *at = text.ptr + 1, *end = text.ptr + text.len;
    for (;;) {
        const char *slash = at < end ? memchr(at, '/', (size_t)(end - at)) : NULL;
        struct str segment = {at, (size_t)((slash != NULL ? slash : end) - at)};
        const char *wrong = parse_segment(segment, slash == NULL, pattern);
        if (wrong != NULL || slash == NULL)
            return wrong;
        at = slash + 1;
    }
}

bool segment_is_int(struct str text)
{
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    struct str digits = {text.ptr + is_negative, text.len - is_negative};
    uint64_t value;
    return str_to_u64(digits, &value) && value <= (uint64_t)INT64_MAX + is_negative;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

bool segment_is_number(struct str text)
{
    const char *at = text.ptr, *end = text.ptr + text.len;
    if (at < end && *at == '-')
        at++;
    const char *whole = at;
    at = skip_digits(at, end);
    size_t ndigits = (size_t)(at - whole);
    if (at < end && *at == '.') {
        const char *fraction = ++at;
        at = skip_digits(at, end);
        ndigits += (size_t)(at - fraction);
    }
    if (ndigits == 0)
        return false;
    if (at < end && (*at | 0x20) == 'e') {
        at++;
        if (at < end && (*at == '-' || *at == '+'))
            at++;
        const char *exponent = at;
        at = skip_digits(at, end);
        if (at == exponent)
            return false;
    }
    return at == end;
}
