/*
 * json_decode.c - a strict JSON reader that builds values straight on the Lua stack.
 *
 * The members of an object or array are collected on the stack first, in batches, so that its table
 * is made once with the right size. Nothing is on the heap except scratch userdata, so an error of
 * the VM (out of memory) leaks nothing.
 */
#include "script/json.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH_SLOTS = 32,    /* of the Lua stack, per level; 100 levels stay below LUAI_MAXCSTACK */
    SCRATCH_BYTES = 512, /* longer strings with escapes take a userdata */
    EXACT_POWERS = 22    /* 10^22 is the last power of ten that a double holds exactly */
};

struct decoder {
    lua_State *L;
    const char *begin;
    const char *at;
    const char *end;
    const char *reason; /* set once something is wrong; `at` is where */
    int array_mark;     /* stack index of the array metatable; 0: not pushed yet */
    int depth;
};

static const double powers_of_ten[EXACT_POWERS + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static bool read_value(struct decoder *decoder);

static bool refuse(struct decoder *decoder, const char *at, const char *reason)
{
    decoder->at = at;
    decoder->reason = reason;
    return false;
}

static inline void skip_blanks(struct decoder *decoder)
{
    const char *at = decoder->at;
    while (at < decoder->end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
        at++;
    decoder->at = at;
}

static inline bool next_is(struct decoder *decoder, char c)
{
    skip_blanks(decoder);
    return decoder->at < decoder->end && *decoder->at == c;
}

size_t json_utf8_len(const char *text, const char *end)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t left = (size_t)(end - text);
    if (at[0] < 0x80)
        return 1;
    if (at[0] < 0xC2 || at[0] > 0xF4)
        return 0;
    size_t len = at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
    if (left < len)
        return 0;
    unsigned char low = at[0] == 0xE0 ? 0xA0 : at[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char high = at[0] == 0xED ? 0x9F : at[0] == 0xF4 ? 0x8F : 0xBF;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

/* Eight bytes at once: is one of them a quote, a backslash, a control character or beyond ASCII? */
static inline bool is_plain_word(const char *at)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\';
    uint64_t odd = ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | (word - ones * ' ');
    return ((odd | word) & highs) == 0;
}

/* Leaves `at` at the closing quote. */
static bool scan_string(struct decoder *decoder, bool *has_escape)
{
    const char *at = decoder->at, *end = decoder->end;
    *has_escape = false;
    for (;;) {
        while (end - at >= 8 && is_plain_word(at))
            at += 8;
        if (at >= end)
            return refuse(decoder, at, "a string without its closing quote");
        unsigned char c = (unsigned char)*at;
        if (c == '"')
            break;
        if (c < ' ')
            return refuse(decoder, at, "a control character in a string; escape it");
        if (c == '\\') {
            *has_escape = true;
            at += end - at > 1 ? 2 : 1;
        } else if (c < 0x80) {
            at++;
        } else {
            size_t len = json_utf8_len(at, end);
            if (len == 0)
                return refuse(decoder, at, "invalid UTF-8");
            at += len;
        }
    }
    decoder->at = at;
    return true;
}

/* Four hexadecimal digits, or -1. */
static int read_unit(const char *at, const char *end)
{
    int unit = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i], low = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            unit = unit << 4 | (c - '0');
        else if (low >= 'a' && low <= 'f')
            unit = unit << 4 | (low - 'a' + 10);
        else
            return -1;
    }
    return unit;
}

static char *put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    return out;
}

/* `*at` is behind "\u". Half a surrogate pair becomes U+FFFD: JavaScript sends such. */
static bool read_code(struct decoder *decoder, const char **at, const char *end, uint32_t *code)
{
    int unit = read_unit(*at, end);
    if (unit < 0)
        return refuse(decoder, *at - 2, "\\u without four hexadecimal digits");
    *at += 4;
    *code = (uint32_t)unit;
    if (unit < 0xD800 || unit > 0xDFFF)
        return true;
    int low = unit < 0xDC00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u'
                  ? read_unit(*at + 2, end)
                  : -1;
    *code = 0xFFFD;
    if (low >= 0xDC00 && low <= 0xDFFF) {
        *code = 0x10000u + ((uint32_t)(unit - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
        *at += 6;
    }
    return true;
}

/* Copies at..end to `out` without its escapes; what comes out is never longer. NULL on refusal. */
static char *unescape(struct decoder *decoder, const char *at, const char *end, char *out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    while (at < end) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        const char *name = at[1] != '\0' ? strchr(names, at[1]) : NULL;
        if (name != NULL) {
            *out++ = values[name - names];
            at += 2;
            continue;
        }
        uint32_t code;
        if (at[1] != 'u') {
            refuse(decoder, at, "an unknown escape");
            return NULL;
        }
        at += 2;
        if (!read_code(decoder, &at, end, &code))
            return NULL;
        out = put_utf8(out, code);
    }
    return out;
}

/* `at` is behind the opening quote. Pushes the string. */
static bool read_string(struct decoder *decoder)
{
    bool has_escape;
    const char *begin = decoder->at;
    if (!scan_string(decoder, &has_escape))
        return false;
    const char *end = decoder->at++;
    size_t len = (size_t)(end - begin);
    if (!has_escape) {
        lua_pushlstring(decoder->L, begin, len);
        return true;
    }
    char small[SCRATCH_BYTES], *out = small;
    if (len > sizeof(small))
        out = lua_newuserdata(decoder->L, len);
    char *out_end = unescape(decoder, begin, end, out);
    if (out_end == NULL)
        return false;
    lua_pushlstring(decoder->L, out, (size_t)(out_end - out));
    if (out != small)
        lua_remove(decoder->L, -2);
    return true;
}

static inline bool is_digit_at(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

/* The general case; the text is valid by now. */
static bool push_long_number(struct decoder *decoder, const char *begin, const char *end)
{
    char small[SCRATCH_BYTES], *text = small;
    size_t len = (size_t)(end - begin);
    if (len >= sizeof(small))
        text = lua_newuserdata(decoder->L, len + 1);
    memcpy(text, begin, len);
    text[len] = '\0';
    double value = strtod(text, NULL);
    if (text != small)
        lua_pop(decoder->L, 1);
    if (isinf(value))
        return refuse(decoder, begin, "a number too large for a double");
    lua_pushnumber(decoder->L, value);
    decoder->at = end;
    return true;
}

struct digits {
    uint64_t value; /* of the first 19; more would overflow */
    int count;      /* without leading zeros */
};

static const char *read_digits(const char *at, const char *end, struct digits *digits)
{
    for (; is_digit_at(at, end); at++) {
        if (digits->count > 0 || *at != '0')
            digits->count++;
        if (digits->count <= 19)
            digits->value = digits->value * 10 + (uint64_t)(*at - '0');
    }
    return at;
}

/* Digits and a power of ten that doubles hold exactly give the nearest double in one operation; all
 * others go to strtod. */
static bool read_number(struct decoder *decoder)
{
    const char *begin = decoder->at, *end = decoder->end, *at = begin;
    struct digits digits = {0};
    int exponent = 0;
    bool is_negative = *at == '-';
    at += is_negative;
    if (!is_digit_at(at, end))
        return refuse(decoder, at, "expected a digit");
    if (*at == '0' && is_digit_at(at + 1, end))
        return refuse(decoder, at, "a number with a leading zero");
    at = read_digits(at, end, &digits);
    if (at < end && *at == '.') {
        const char *fraction = ++at;
        at = read_digits(at, end, &digits);
        if (at == fraction)
            return refuse(decoder, at, "expected a digit");
        exponent = (int)(fraction - at);
    }
    if (at < end && (*at | 0x20) == 'e') {
        bool is_down = ++at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        if (!is_digit_at(at, end))
            return refuse(decoder, at, "expected a digit");
        struct digits power = {0};
        at = read_digits(at, end, &power);
        int shift = power.count > 4 ? 100000 : (int)power.value;
        exponent += is_down ? -shift : shift;
    }
    if (digits.count > 19 || digits.value > 1ull << 53 || exponent < -EXACT_POWERS ||
        exponent > EXACT_POWERS)
        return push_long_number(decoder, begin, at);
    double value = (double)digits.value;
    value = exponent < 0 ? value / powers_of_ten[-exponent] : value * powers_of_ten[exponent];
    lua_pushnumber(decoder->L, is_negative ? -value : value);
    decoder->at = at;
    return true;
}

static bool read_word(struct decoder *decoder, const char *word, size_t len)
{
    if ((size_t)(decoder->end - decoder->at) < len || memcmp(decoder->at, word, len) != 0)
        return refuse(decoder, decoder->at, "expected a value");
    decoder->at += len;
    return true;
}

/* Opens a level: room for a batch above a slot for its table, which is made at the first flush. */
static bool enter(struct decoder *decoder)
{
    if (++decoder->depth > JSON_MAX_DEPTH)
        return refuse(decoder, decoder->at, "nested deeper than 100 levels");
    if (!lua_checkstack(decoder->L, BATCH_SLOTS + 8))
        return refuse(decoder, decoder->at, "the Lua stack is full");
    decoder->at++; /* the bracket */
    lua_pushnil(decoder->L);
    return true;
}

static void flush_array(lua_State *L, int table, int done, bool is_last)
{
    int count = lua_gettop(L) - table;
    if (done == 0) {
        lua_createtable(L, is_last ? count : count * 4, 0);
        lua_replace(L, table);
    }
    for (int i = done + count; i > done; i--)
        lua_rawseti(L, table, i);
}

static bool read_array(struct decoder *decoder)
{
    lua_State *L = decoder->L;
    if (!enter(decoder))
        return false;
    int table = lua_gettop(L), done = 0;
    bool is_more = !next_is(decoder, ']');
    while (is_more) {
        if (lua_gettop(L) - table == BATCH_SLOTS) {
            flush_array(L, table, done, false);
            done += BATCH_SLOTS;
        }
        if (!read_value(decoder))
            return false;
        is_more = next_is(decoder, ',');
        decoder->at += is_more;
    }
    if (!next_is(decoder, ']'))
        return refuse(decoder, decoder->at, "expected ',' or ']'");
    decoder->at++;
    flush_array(L, table, done, true);
    lua_pushvalue(L, decoder->array_mark);
    lua_setmetatable(L, table);
    decoder->depth--;
    return true;
}

/* In order, so that the last of several equal names wins. */
static void flush_object(lua_State *L, int table, int done, bool is_last)
{
    int top = lua_gettop(L);
    if (done == 0) {
        lua_createtable(L, 0, is_last ? (top - table) / 2 : top - table);
        lua_replace(L, table);
    }
    for (int i = table + 1; i < top; i += 2) {
        lua_pushvalue(L, i);
        lua_pushvalue(L, i + 1);
        lua_rawset(L, table);
    }
    lua_settop(L, table);
}

static bool read_object(struct decoder *decoder)
{
    lua_State *L = decoder->L;
    if (!enter(decoder))
        return false;
    int table = lua_gettop(L), done = 0;
    bool is_more = !next_is(decoder, '}');
    while (is_more) {
        if (lua_gettop(L) - table == BATCH_SLOTS) {
            flush_object(L, table, done, false);
            done += BATCH_SLOTS;
        }
        if (!next_is(decoder, '"'))
            return refuse(decoder, decoder->at, "expected a name in quotes");
        decoder->at++;
        if (!read_string(decoder))
            return false;
        if (!next_is(decoder, ':'))
            return refuse(decoder, decoder->at, "expected ':'");
        decoder->at++;
        if (!read_value(decoder))
            return false;
        is_more = next_is(decoder, ',');
        decoder->at += is_more;
    }
    if (!next_is(decoder, '}'))
        return refuse(decoder, decoder->at, "expected ',' or '}'");
    decoder->at++;
    flush_object(L, table, done, true);
    decoder->depth--;
    return true;
}

static bool read_value(struct decoder *decoder)
{
    skip_blanks(decoder);
    if (decoder->at >= decoder->end)
        return refuse(decoder, decoder->at, "expected a value, found the end");
    switch (*decoder->at) {
    case '{':
        return read_object(decoder);
    case '[':
        return read_array(decoder);
    case '"':
        decoder->at++;
        return read_string(decoder);
    case 't':
        lua_pushboolean(decoder->L, 1);
        return read_word(decoder, "true", 4);
    case 'f':
        lua_pushboolean(decoder->L, 0);
        return read_word(decoder, "false", 5);
    case 'n':
        lua_pushlightuserdata(decoder->L, NULL);
        return read_word(decoder, "null", 4);
    case '-':
    case '0' ... '9':
        return read_number(decoder);
    default:
        return refuse(decoder, decoder->at, "expected a value");
    }
}

static void push_reason(struct decoder *decoder)
{
    int line = 1;
    const char *line_begin = decoder->begin;
    for (const char *at = decoder->begin; at < decoder->at; at++) {
        if (*at == '\n') {
            line++;
            line_begin = at + 1;
        }
    }
    lua_pushfstring(decoder->L, "json: line %d column %d: %s", line,
                    (int)(decoder->at - line_begin) + 1, decoder->reason);
}

int json_decode(lua_State *L, struct str text)
{
    struct decoder decoder = {L, text.ptr, text.ptr, text.ptr + text.len, NULL, 0, 0};
    luaL_checkstack(L, BATCH_SLOTS, "json");
    int top = lua_gettop(L);
    json_push_array_mark(L);
    decoder.array_mark = top + 1;
    if (text.len >= 3 && memcmp(text.ptr, "\xEF\xBB\xBF", 3) == 0)
        decoder.at += 3; /* a byte order mark may be ignored: RFC 8259, 8.1 */
    bool is_done = read_value(&decoder);
    if (is_done) {
        skip_blanks(&decoder);
        if (decoder.at < decoder.end)
            is_done = refuse(&decoder, decoder.at, "expected the end");
    }
    if (!is_done)
        push_reason(&decoder);
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    return is_done ? 0 : -EINVAL;
}
