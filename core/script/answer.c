#include "script/answer.h"

#include "http/field.h"
#include "script/json.h"
#include "script/vm.h"

#include <lauxlib.h>
#include <string.h>

enum { STATUS_MIN = 200, STATUS_MAX = 599 };

static const struct str text_type = {"text/plain; charset=utf-8", 25};
static const struct str json_type = {"application/json", 16};

static bool wrong(lua_State *L, const char *what, const char *detail)
{
    vm_push_error(L, "bad_answer", "%s%s", what, detail);
    return false;
}

static bool read_status(lua_State *L, int index, struct answer *answer)
{
    lua_Number status = lua_tonumber(L, index);
    if (lua_type(L, index) != LUA_TNUMBER || status < STATUS_MIN || status > STATUS_MAX ||
        status != (lua_Number)(uint16_t)status)
        return wrong(L, "the status of an answer is an integer from 200 to 599, not ",
                     lua_type(L, index) == LUA_TNUMBER || lua_type(L, index) == LUA_TSTRING
                         ? lua_tostring(L, index)
                         : luaL_typename(L, index));
    answer->status = (uint16_t)status;
    return true;
}

static bool add_field(lua_State *L, struct str name, int value_index, struct buf *fields,
                      struct answer *answer)
{
    struct str value;
    if (lua_type(L, value_index) != LUA_TSTRING && lua_type(L, value_index) != LUA_TNUMBER)
        return wrong(L, "a header value is a string, a number or a list of them; bad value for ",
                     name.ptr);
    value.ptr = lua_tolstring(L, value_index, &value.len);
    if (memchr(value.ptr, '\r', value.len) != NULL || memchr(value.ptr, '\n', value.len) != NULL ||
        memchr(value.ptr, '\0', value.len) != NULL)
        return wrong(L, "a line break or NUL in the value of the header ", name.ptr);
    if (str_equal_nocase(name, str_of("content-type"))) {
        answer->content_type = value; /* lives in the headers table, on the stack */
        return true;
    }
    buf_add_str(fields, name);
    buf_add(fields, ": ", 2);
    buf_add_str(fields, value);
    buf_add(fields, "\r\n", 2);
    return true;
}

static bool is_ours(struct str name)
{
    static const char *const ours[] = {"content-length", "transfer-encoding", "connection", "date",
                                       "x-request-id"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
        if (str_equal_nocase(name, str_of(ours[i])))
            return true;
    return false;
}

static bool read_headers(lua_State *L, int index, struct buf *fields, struct answer *answer)
{
    if (!lua_istable(L, index))
        return wrong(L, "the headers of an answer are a table, not a ", luaL_typename(L, index));
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        int value = lua_gettop(L);
        struct str name;
        if (lua_type(L, value - 1) != LUA_TSTRING)
            return wrong(L, "the name of a header is a string, not a ",
                         luaL_typename(L, value - 1));
        name.ptr = lua_tolstring(L, value - 1, &name.len);
        if (!field_is_name(name))
            return wrong(L, "not a header name: ", name.ptr);
        if (is_ours(name))
            return wrong(L, "the server itself sets the header ", name.ptr);
        if (lua_istable(L, value)) {
            for (int i = 1; i <= (int)lua_objlen(L, value); i++) {
                lua_rawgeti(L, value, i);
                if (!add_field(L, name, value + 1, fields, answer))
                    return false;
                lua_pop(L, 1);
            }
        } else if (!add_field(L, name, value, fields, answer)) {
            return false;
        }
        lua_pop(L, 1);
    }
    return true;
}

/* `type`: of the value at `index`. */
static bool read_body(lua_State *L, int index, int type, struct buf *scratch, struct answer *answer)
{
    switch (type) {
    case LUA_TSTRING:
        answer->body.ptr = lua_tolstring(L, index, &answer->body.len);
        if (answer->content_type.len == 0 && answer->body.len != 0)
            answer->content_type = text_type;
        return true;
    case LUA_TTABLE:
        if (json_encode(L, index, scratch, JSON_COMPACT) != 0)
            return wrong(L, "the answer cannot become JSON: ", lua_tostring(L, -1));
        answer->body = buf_str(scratch);
        if (answer->content_type.len == 0)
            answer->content_type = json_type;
        return true;
    case LUA_TNIL:
    case LUA_TNONE:
        return true;
    default:
        return wrong(L, "a handler returns a string, a table or nothing, not a ",
                     luaL_typename(L, index));
    }
}

bool answer_read(lua_State *L, int first, int res, struct answer_buffers buffers,
                 struct answer *answer)
{
    int count = lua_gettop(L) - first + 1;
    bool has_status = false;
    *answer = (struct answer){0};
    buffers.body->len = 0;
    buffers.fields->len = 0;
    if (count == 1 && res == 0)
        goto body; /* the common case */
    luaL_checkstack(L, 16, "answer");
    if (res != 0) {
        int top = lua_gettop(L);
        lua_pushliteral(L, "status");
        lua_rawget(L, res);
        if (!lua_isnil(L, -1)) {
            if (!read_status(L, top + 1, answer))
                return false;
            has_status = true;
        }
        lua_pushliteral(L, "headers");
        lua_rawget(L, res);
        if (!lua_isnil(L, -1) && !read_headers(L, top + 2, buffers.fields, answer))
            return false;
        lua_settop(L, top);
    }
    if (count >= 2 && !lua_isnil(L, first + 1)) {
        if (!read_status(L, first + 1, answer))
            return false;
        has_status = true;
    }
    if (count >= 3 && !lua_isnil(L, first + 2) &&
        !read_headers(L, first + 2, buffers.fields, answer))
        return false;
    if (count > 3)
        return wrong(L, "a handler returns body, status and headers, and nothing behind them", "");
body:;
    int type = lua_type(L, first);
    if (res != 0 && type <= LUA_TNIL) {
        lua_settop(L, first - 1); /* what res:html and its sisters left */
        lua_pushliteral(L, "body");
        lua_rawget(L, res);
        type = lua_type(L, first);
    }
    if (!read_body(L, first, type, buffers.body, answer))
        return false;
    answer->fields = buf_str(buffers.fields);
    if (!has_status && answer->status == 0)
        answer->status = type <= LUA_TNIL ? 204 : 200;
    return true;
}
