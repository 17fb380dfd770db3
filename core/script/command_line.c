#include "script/command_line.h"

#include "base/mem.h"
#include "script/lib_json.h"
#include "script/lib_tls.h"
#include "script/vm.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdlib.h>

struct command_line {
    lua_State *L; /* index 1: the table */
};

/* argv[1..] as a list, on top of the stack. */
static void push_words(lua_State *L, int argc, char **argv)
{
    lua_createtable(L, argc, 0);
    for (int i = 1; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
}

/* What commands print with --json goes through the one encoder; `check` tries certificates. */
static void preload(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, luaopen_moonloop_core_json);
    lua_setfield(L, -2, "moonloop.core.json");
    lua_pushcfunction(L, luaopen_moonloop_core_tls);
    lua_setfield(L, -2, "moonloop.core.tls");
    lua_pop(L, 2);
}

static int l_run(lua_State *L)
{
    int argc = (int)lua_tointeger(L, 1);
    char **argv = lua_touserdata(L, 2);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "moonloop.cli");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    lua_pushliteral(L, MOONLOOP_VERSION);
    lua_pushvalue(L, 3);
    push_words(L, argc, argv);
    lua_call(L, 3, 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    return 1;
}

struct command_line *command_line_new(const char *lua_dir, int argc, char **argv,
                                      struct fault *fault)
{
    struct command_line *line = MEM_NEW(struct command_line);
    if ((line->L = luaL_newstate()) == NULL) {
        fault_set(fault, "out of memory");
        goto fail;
    }
    luaL_openlibs(line->L);
    preload(line->L);
    vm_set_path(line->L, lua_dir);
    lua_pushcfunction(line->L, l_run);
    lua_pushinteger(line->L, argc);
    lua_pushlightuserdata(line->L, argv);
    lua_pushstring(line->L, lua_dir);
    if (vm_pcall(line->L, 3, 1) != 0) {
        fault_set(fault, "%s", lua_tostring(line->L, -1));
        goto fail;
    }
    return line;

fail:
    command_line_free(line);
    return NULL;
}

void command_line_free(struct command_line *line)
{
    if (line == NULL)
        return;
    if (line->L != NULL)
        lua_close(line->L);
    free(line);
}

static const char *text_field(const struct command_line *line, const char *name)
{
    lua_getfield(line->L, 1, name);
    const char *text = lua_tostring(line->L, -1);
    lua_pop(line->L, 1); /* the table keeps it */
    return text;
}

const char *command_line_command(const struct command_line *line)
{
    return text_field(line, "command");
}

const char *command_line_message(const struct command_line *line)
{
    return text_field(line, "message");
}

int command_line_exit_code(const struct command_line *line)
{
    lua_getfield(line->L, 1, "exit_code");
    int code = (int)lua_tointeger(line->L, -1);
    lua_pop(line->L, 1);
    return code;
}

struct lua_State *command_line_state(const struct command_line *line)
{
    return line->L;
}

bool command_line_render(struct command_line *line, struct str answer, struct buf *text)
{
    lua_State *L = line->L;
    struct str rendered;
    lua_getglobal(L, "require");
    lua_pushfstring(L, "moonloop.cli.%s", command_line_command(line));
    bool is_ok = vm_pcall(L, 1, 1) == 0;
    if (is_ok) {
        lua_getfield(L, -1, "render");
        lua_pushlstring(L, answer.ptr, answer.len);
        is_ok = vm_pcall(L, 1, 1) == 0;
    }
    if (is_ok) {
        rendered.ptr = lua_tolstring(L, -1, &rendered.len);
        buf_add_str(text, rendered);
    }
    lua_settop(L, 1);
    return is_ok;
}

const char *command_line_llhttp_version(void)
{
    return MOONLOOP_LLHTTP_VERSION;
}
