/*
 * json_encode.c - writes the JSON of a Lua value straight into a buf.
 *
 * No heap of its own and no Lua allocation on the way (except in __tojson), so what an error of the
 * VM could leak is only what the caller owns. A chain of frames on the C stack remembers the way to
 * the value at hand, for messages.
 */
#include "script/json.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TYPE_CDATA = 10, /* LuaJIT's own; lua.h does not name it */
    NUMBER_BYTES = 40,
    PATH_BYTES = 200,
    SPARSE_FREE = 8 /* so many holes are always allowed; beyond it half of the places are filled */
};

static const char MIXED_KEYS[] = "cannot encode a table that has both indexes and names";

/* One step from a container to the value inside. */
struct frame {
    const struct frame *parent;
    const char *key; /* NULL: an array's index */
    size_t key_len;
    uint64_t index; /* counted from 1 */
};

struct encoder {
    lua_State *L;
    struct buf *out;
    const struct frame *frame; /* the way to the value at hand; NULL: the outermost */
    const void *array_mark;    /* the metatable's address */
    int depth;
    int style;
};

/* What a table is to become. */
enum shape { SHAPE_GUESS, SHAPE_ARRAY, SHAPE_OBJECT, SHAPE_NONE };

static bool write_value(struct encoder *encoder, int index);

static void add_step(struct buf *path, const struct frame *frame)
{
    if (frame == NULL || path->len > PATH_BYTES)
        return;
    add_step(path, frame->parent);
    if (frame->key == NULL)
        buf_printf(path, "[%llu]", (unsigned long long)frame->index);
    else
        buf_printf(path, "%s%.*s", path->len > 0 ? "." : "", (int)frame->key_len, frame->key);
}

/* Pushes "path: problem". Always false. */
static bool refuse(struct encoder *encoder, const char *problem)
{
    struct buf path = {0};
    char text[PATH_BYTES + 8];
    add_step(&path, encoder->frame);
    int len = path.len > PATH_BYTES ? PATH_BYTES : (int)path.len;
    snprintf(text, sizeof(text), "%.*s%s%s", len, path.len > 0 ? path.ptr : "",
             path.len > PATH_BYTES ? "..." : "", path.len > 0 ? ": " : "");
    buf_deinit(&path);
    lua_pushfstring(encoder->L, "json: %s%s", text, problem);
    return false;
}

/* 0: as it is; 'u': \u00XX; 'x': beyond ASCII; '<': only before / and !; else the letter behind a
 * backslash. */
static const char escapes[256] = {
    ['"'] = '"',  ['\\'] = '\\',         ['\b'] = 'b',         ['\f'] = 'f', ['\n'] = 'n',
    ['\r'] = 'r', ['\t'] = 't',          ['<'] = '<',          [0] = 'u',    [1 ... 7] = 'u',
    [0x0B] = 'u', [0x0E ... 0x1F] = 'u', [0x80 ... 0xFF] = 'x'};

static void write_escape(struct buf *out, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    if (escapes[c] != 'u' && escapes[c] != '<') {
        buf_add_char(out, '\\');
        buf_add_char(out, escapes[c]);
        return;
    }
    char text[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    buf_add(out, text, sizeof(text));
}

/* Runs of plain bytes are copied at once. Invalid UTF-8 becomes U+FFFD, a byte each. */
static void write_string(struct buf *out, const char *at, size_t len)
{
    const char *end = at + len, *run = at;
    buf_reserve(out, len + 2);
    out->ptr[out->len++] = '"';
    while (at < end) {
        unsigned char c = (unsigned char)*at;
        if (escapes[c] == 0) {
            at++;
            continue;
        }
        size_t valid = 0;
        if (escapes[c] == 'x')
            valid = json_utf8_len(at, end);
        else if (c == '<' && (end - at == 1 || (at[1] != '/' && at[1] != '!')))
            valid = 1;
        if (valid > 0) {
            at += valid;
            continue;
        }
        buf_add(out, run, (size_t)(at - run));
        if (escapes[c] == 'x')
            buf_add(out, "\xEF\xBF\xBD", 3);
        else
            write_escape(out, c);
        run = ++at;
    }
    buf_add(out, run, (size_t)(at - run));
    buf_add_char(out, '"');
}

/* Digits of `value` with `decimals` of them behind the point, written backwards from `end`. */
static char *put_decimal(char *end, uint64_t value, int decimals)
{
    for (int i = 0; i < decimals; i++) {
        *--end = (char)('0' + value % 10);
        value /= 10;
    }
    if (decimals > 0)
        *--end = '.';
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return end;
}

/* A text of at most 17 digits that reads back as the same double. Few decimals are found by
 * scaling: both operands are exact doubles then, so the division rounds as reading the text would.
 */
static void write_double(struct buf *out, double value)
{
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    char text[NUMBER_BYTES];
    double size = fabs(value);
    for (int decimals = 0; size < 1e9 && size >= 1e-4 && decimals <= 6; decimals++) {
        double scaled = nearbyint(size * powers[decimals]);
        if (scaled / powers[decimals] != size)
            continue;
        char *begin = put_decimal(text + sizeof(text), (uint64_t)scaled, decimals);
        if (value < 0)
            *--begin = '-';
        buf_add(out, begin, (size_t)(text + sizeof(text) - begin));
        return;
    }
    for (int precision = 14; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buf_add_text(out, text);
}

static bool write_number(struct encoder *encoder, double value)
{
    char text[NUMBER_BYTES];
    if (value > -9007199254740992.0 && value < 9007199254740992.0 &&
        value == (double)(int64_t)value) {
        int64_t integer = (int64_t)value;
        uint64_t size = integer < 0 ? (uint64_t)-integer : (uint64_t)integer;
        char *begin = put_decimal(text + sizeof(text), size, 0);
        if (integer < 0)
            *--begin = '-';
        buf_add(encoder->out, begin, (size_t)(text + sizeof(text) - begin));
        return true;
    }
    if (isnan(value))
        return refuse(encoder, "cannot encode nan");
    if (isinf(value))
        return refuse(encoder, "cannot encode an infinite number");
    write_double(encoder->out, value);
    return true;
}

/* int64_t and uint64_t: tostring gives their digits with LL or ULL behind. */
static bool write_cdata(struct encoder *encoder, int index)
{
    lua_State *L = encoder->L;
    size_t len = 0;
    lua_getglobal(L, "tostring");
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    const char *text = lua_tolstring(L, -1, &len);
    size_t digits = text != NULL ? strspn(text, "-0123456789") : 0;
    bool is_integer =
        digits > 0 && (strcmp(text + digits, "LL") == 0 || strcmp(text + digits, "ULL") == 0);
    if (is_integer)
        buf_add(encoder->out, text, digits);
    lua_pop(L, 1);
    return is_integer || refuse(encoder, "cannot encode a cdata other than int64_t and uint64_t");
}

static void write_break(struct encoder *encoder)
{
    if (encoder->style != JSON_PRETTY)
        return;
    buf_add_char(encoder->out, '\n');
    for (int i = 0; i < encoder->depth; i++)
        buf_add(encoder->out, "  ", 2);
}

static void close_container(struct encoder *encoder, char bracket, bool is_empty)
{
    encoder->depth--;
    if (!is_empty)
        write_break(encoder);
    buf_add_char(encoder->out, bracket);
}

/* Writes the value on top of the stack and pops it. */
static bool write_element(struct encoder *encoder, struct frame *frame)
{
    frame->index++;
    if (frame->index > 1)
        buf_add_char(encoder->out, ',');
    write_break(encoder);
    if (!write_value(encoder, lua_gettop(encoder->L)))
        return false;
    lua_pop(encoder->L, 1);
    return true;
}

/* The highest index of a table that is to be an array; 0 with a text pushed when a key is none or
 * the holes are too many. */
static uint64_t measure_array(struct encoder *encoder, int table)
{
    lua_State *L = encoder->L;
    uint64_t highest = 0, count = 0;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1), count++) {
        double key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
        if (lua_type(L, -2) != LUA_TNUMBER) {
            refuse(encoder, MIXED_KEYS);
            return 0;
        }
        if (!(key >= 1 && key < 4294967296.0) || key != (double)(uint64_t)key) {
            refuse(encoder, "cannot encode a number as a name; json.object allows it");
            return 0;
        }
        highest = (uint64_t)key > highest ? (uint64_t)key : highest;
    }
    if (highest - count > SPARSE_FREE && highest / 2 > count) {
        refuse(encoder,
               "cannot encode an array with more holes than values; json.object allows it");
        return 0;
    }
    return highest;
}

/* An array in the usual case: lua_next meets 1, 2, 3... If not, starts again by index. */
static bool write_array(struct encoder *encoder, int table, struct frame *frame)
{
    lua_State *L = encoder->L;
    size_t start = encoder->out->len;
    buf_add_char(encoder->out, '[');
    encoder->depth++;
    bool is_dense = true;
    for (lua_pushnil(L); is_dense && lua_next(L, table);) {
        is_dense =
            lua_type(L, -2) == LUA_TNUMBER && lua_tonumber(L, -2) == (double)(frame->index + 1);
        if (is_dense && !write_element(encoder, frame))
            return false;
    }
    if (!is_dense) {
        lua_pop(L, 2);
        encoder->frame = frame->parent; /* what may be wrong is the table */
        uint64_t highest = measure_array(encoder, table);
        if (highest == 0)
            return false;
        encoder->out->len = start + 1;
        encoder->frame = frame;
        frame->index = 0;
        while (frame->index < highest) {
            lua_rawgeti(L, table, (int)frame->index + 1);
            if (!write_element(encoder, frame))
                return false;
        }
    }
    close_container(encoder, ']', frame->index == 0);
    return true;
}

/* The key right below the top of the stack. */
static bool write_key(struct encoder *encoder, struct frame *frame, bool allows_numbers)
{
    lua_State *L = encoder->L;
    int type = lua_type(L, -2);
    if (type == LUA_TSTRING) {
        frame->key = lua_tolstring(L, -2, &frame->key_len);
        write_string(encoder->out, frame->key, frame->key_len);
        return true;
    }
    if (type != LUA_TNUMBER || !allows_numbers) {
        char text[64];
        snprintf(text, sizeof(text), "cannot encode a %s as a name", lua_typename(L, type));
        encoder->frame = frame->parent; /* what is wrong is the table */
        return refuse(encoder, type == LUA_TNUMBER ? MIXED_KEYS : text);
    }
    frame->key = "[number]";
    frame->key_len = 8;
    buf_add_char(encoder->out, '"');
    bool is_written = write_number(encoder, lua_tonumber(L, -2));
    buf_add_char(encoder->out, '"');
    return is_written;
}

/* The first key and value are on the stack already, or nil alone for none yet. */
static bool write_object(struct encoder *encoder, int table, struct frame *frame,
                         bool allows_numbers)
{
    lua_State *L = encoder->L;
    bool is_empty = true, is_more = !lua_isnil(L, -1) || lua_next(L, table);
    buf_add_char(encoder->out, '{');
    encoder->depth++;
    for (; is_more; lua_pop(L, 1), is_more = lua_next(L, table)) {
        if (!is_empty)
            buf_add_char(encoder->out, ',');
        is_empty = false;
        write_break(encoder);
        if (!write_key(encoder, frame, allows_numbers))
            return false;
        buf_add_char(encoder->out, ':');
        if (encoder->style == JSON_PRETTY)
            buf_add_char(encoder->out, ' ');
        if (!write_value(encoder, lua_gettop(L)))
            return false;
    }
    close_container(encoder, '}', is_empty);
    return true;
}

/* Looks at the metatable, if there is one. True when __tojson took over; *is_written is its result.
 */
static bool use_metatable(struct encoder *encoder, int index, enum shape *shape, bool *is_written)
{
    lua_State *L = encoder->L;
    if (!lua_getmetatable(L, index))
        return false;
    if (lua_topointer(L, -1) == encoder->array_mark) {
        *shape = SHAPE_ARRAY;
        lua_pop(L, 1);
        return false;
    }
    lua_pushliteral(L, "__tojson");
    lua_rawget(L, -2);
    if (!lua_isnil(L, -1)) {
        lua_pushvalue(L, index);
        lua_call(L, 1, 1);
        encoder->depth++; /* an endless chain of __tojson is a cycle, too */
        *is_written = write_value(encoder, lua_gettop(L));
        encoder->depth--;
        if (*is_written)
            lua_pop(L, 2);
        return true;
    }
    lua_pushliteral(L, "__jsontype");
    lua_rawget(L, -3);
    const char *type = lua_tostring(L, -1);
    if (type != NULL)
        *shape = strcmp(type, "array") == 0    ? SHAPE_ARRAY
                 : strcmp(type, "object") == 0 ? SHAPE_OBJECT
                 : strcmp(type, "none") == 0   ? SHAPE_NONE
                                               : SHAPE_GUESS;
    lua_pop(L, 3);
    return false;
}

/* A task, a channel: its fields are nobody's business. */
static bool refuse_object(struct encoder *encoder, int index)
{
    char text[96];
    const char *name =
        luaL_getmetafield(encoder->L, index, "__name") != 0 ? lua_tostring(encoder->L, -1) : NULL;
    snprintf(text, sizeof(text), "cannot encode a %s; encode what it gives",
             name != NULL ? name : "table of this kind");
    return refuse(encoder, text);
}

static bool write_table(struct encoder *encoder, int index)
{
    lua_State *L = encoder->L;
    enum shape shape = SHAPE_GUESS;
    bool is_written = false;
    if (encoder->depth >= JSON_MAX_DEPTH)
        return refuse(encoder, "nested deeper than 100 levels; a table that contains itself?");
    if (!lua_checkstack(L, 10))
        return refuse(encoder, "the Lua stack is full");
    if (use_metatable(encoder, index, &shape, &is_written))
        return is_written;
    if (shape == SHAPE_NONE)
        return refuse_object(encoder, index);
    if (shape == SHAPE_GUESS) {
        lua_pushnil(L);
        if (!lua_next(L, index)) {
            buf_add(encoder->out, "{}", 2);
            return true;
        }
        shape = lua_type(L, -2) == LUA_TNUMBER ? SHAPE_ARRAY : SHAPE_GUESS;
        if (shape == SHAPE_ARRAY)
            lua_pop(L, 2);
    } else if (shape == SHAPE_OBJECT) {
        lua_pushnil(L);
    }
    struct frame frame = {encoder->frame, shape == SHAPE_ARRAY ? NULL : "", 0, 0};
    encoder->frame = &frame;
    is_written = shape == SHAPE_ARRAY ? write_array(encoder, index, &frame)
                                      : write_object(encoder, index, &frame, shape == SHAPE_OBJECT);
    encoder->frame = frame.parent;
    return is_written;
}

static bool refuse_type(struct encoder *encoder, int index)
{
    char text[64];
    snprintf(text, sizeof(text), "cannot encode a %s",
             lua_typename(encoder->L, lua_type(encoder->L, index)));
    return refuse(encoder, text);
}

/* `index` is absolute. False with a text pushed. */
static bool write_value(struct encoder *encoder, int index)
{
    lua_State *L = encoder->L;
    size_t len;
    switch (lua_type(L, index)) {
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, index, &len);
        write_string(encoder->out, text, len);
        return true;
    }
    case LUA_TNUMBER:
        return write_number(encoder, lua_tonumber(L, index));
    case LUA_TTABLE:
        return write_table(encoder, index);
    case LUA_TBOOLEAN:
        buf_add_text(encoder->out, lua_toboolean(L, index) ? "true" : "false");
        return true;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, index) != NULL)
            return refuse_type(encoder, index);
        buf_add(encoder->out, "null", 4);
        return true;
    case LUA_TNIL:
        buf_add(encoder->out, "null", 4);
        return true;
    case TYPE_CDATA:
        return write_cdata(encoder, index);
    case LUA_TUSERDATA: {
        enum shape shape;
        bool is_written = false;
        return use_metatable(encoder, index, &shape, &is_written) ? is_written
                                                                  : refuse_type(encoder, index);
    }
    default:
        return refuse_type(encoder, index);
    }
}

int json_encode(lua_State *L, int index, struct buf *out, int style)
{
    int top = lua_gettop(L);
    size_t start = out->len;
    luaL_checkstack(L, 16, "json");
    json_push_array_mark(L);
    struct encoder encoder = {L, out, NULL, lua_topointer(L, -1), 0, style};
    lua_pop(L, 1);
    if (write_value(&encoder, index < 0 ? top + index + 1 : index)) {
        lua_settop(L, top);
        return 0;
    }
    out->len = start;
    lua_insert(L, top + 1);
    lua_settop(L, top + 1);
    return -EINVAL;
}
