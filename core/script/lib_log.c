#include "script/lib_log.h"

#include "base/log.h"
#include "script/log_context.h"
#include "script/vm.h"

#include <ctype.h>
#include <string.h>

enum { MAX_FIELDS = 32, NAME_BYTES = 64 };

/* A field's name as the log takes it: [a-z_]+. */
static bool copy_name(char name[NAME_BYTES], const char *from, size_t len)
{
    if (len == 0 || len >= NAME_BYTES)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)from[i];
        name[i] = isalnum(c) ? (char)tolower(c) : '_';
    }
    name[len] = '\0';
    return true;
}

static size_t read_fields(lua_State *L, int index, struct log_field *fields, size_t count,
                          char names[MAX_FIELDS][NAME_BYTES])
{
    if (!lua_istable(L, index))
        return count;
    luaL_checkstack(L, 2 * MAX_FIELDS + 8, "too many log fields");
    lua_pushnil(L);
    while (count < MAX_FIELDS && lua_next(L, index) != 0) {
        size_t len = 0;
        int value = lua_gettop(L);
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : NULL;
        if (name != NULL && copy_name(names[count], name, len)) {
            lua_getglobal(L, "tostring");
            lua_pushvalue(L, value);
            lua_call(L, 1, 1);
            fields[count].name = names[count];
            fields[count].value.ptr = lua_tolstring(L, -1, &fields[count].value.len);
            count++;
            lua_insert(L, index + 1); /* keeps the text alive, below the iteration */
        }
        lua_settop(L, lua_gettop(L) - 1);
    }
    return count;
}

/* write(level, message, fields): 0 debug, 1 info, 2 warning, 3 error */
static int l_write(lua_State *L)
{
    char names[MAX_FIELDS][NAME_BYTES];
    struct log_field fields[MAX_FIELDS + LOG_CONTEXT_FIELDS];
    struct log_context context;
    int level = (int)luaL_checkinteger(L, 1);
    size_t count = 0, len;
    const char *message = luaL_checklstring(L, 2, &len);
    luaL_argcheck(L, level >= LOG_DEBUG && level <= LOG_ERROR, 1, "expected 0..3");
    if (!log_is_on((enum log_level)level))
        return 0;
    lua_settop(L, 3);
    count = read_fields(L, 3, fields, 0, names);
    log_context_read(VM_UPVALUE(L), &context);
    count += log_context_fields(&context, fields + count);
    log_with((enum log_level)level, fields, count, "%.*s", (int)len, message);
    return 0;
}

int luaopen_moonloop_core_log(lua_State *L)
{
    static const luaL_Reg functions[] = {{"write", l_write}, {NULL, NULL}};
    vm_library(L, functions);
    return 1;
}
