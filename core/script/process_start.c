#include "script/process_start.h"

#include "loop/child_process.h"
#include "script/vm.h"

#include <errno.h>
#include <lualib.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static lua_Number number_field(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    lua_Number value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return value;
}

static uint64_t ms_field(lua_State *L, int index, const char *name)
{
    return (uint64_t)ceil(number_field(L, index, name) * 1000);
}

/* The strings of a list, which stays theirs; the array is the collector's, on top of the stack.
 * NULL and nil for no list. */
static const char *const *push_strings(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    if (lua_isnil(L, -1))
        return NULL;
    size_t count = lua_objlen(L, -1);
    const char **strings = lua_newuserdata(L, (count + 1) * sizeof(*strings));
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -2, (int)i + 1);
        strings[i] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    strings[count] = NULL;
    lua_remove(L, -2);
    return strings;
}

/* The file's own buffer and the descriptor's place are brought together first. */
static int file_fd(FILE *file)
{
    fflush(file);
    off_t at = ftello(file);
    if (at >= 0)
        lseek(fileno(file), at, SEEK_SET);
    return fileno(file);
}

/* An enum child_place, a file of io.open, or nothing. */
static int place_field(lua_State *L, int index, const char *name)
{
    static const char *const words[] = {"null", "pipe", "stdout", "inherit", NULL};
    static const int places[] = {CHILD_NULL, CHILD_PIPE, CHILD_OUTPUT_TOO};
    int place = CHILD_NULL;
    lua_getfield(L, index, name);
    if (lua_isuserdata(L, -1)) {
        FILE **file = luaL_checkudata(L, -1, LUA_FILEHANDLE);
        if (*file == NULL)
            luaL_error(L, "process: option %s: the file is closed", name);
        place = file_fd(*file);
    } else if (!lua_isnil(L, -1)) {
        int word = luaL_checkoption(L, -1, NULL, words);
        place = word < 3                      ? places[word]
                : strcmp(name, "stderr") == 0 ? STDERR_FILENO
                                              : STDOUT_FILENO;
    }
    lua_pop(L, 1);
    return place;
}

/* ---- why it could not ---- */

/* The PATH that was searched: that of the list `env` of the table at `index`, or ours. */
static void push_path(lua_State *L, int index)
{
    const char *path = getenv("PATH");
    lua_getfield(L, index, "env");
    if (lua_istable(L, -1)) {
        path = NULL;
        for (int i = 1, count = (int)lua_objlen(L, -1); i <= count && path == NULL; i++) {
            lua_rawgeti(L, -1, i);
            const char *entry = lua_tostring(L, -1);
            if (strncmp(entry, "PATH=", 5) == 0)
                path = entry + 5; /* the list has it */
            lua_pop(L, 1);
        }
    }
    lua_pushstring(L, path != NULL ? path : "not set: the standard directories");
    lua_remove(L, -2);
}

static const char *push_exec_reason(lua_State *L, int index, const char *name, int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        if (strchr(name, '/') != NULL) {
            lua_pushfstring(L, "cannot start %s: there is no such file", name);
        } else {
            push_path(L, index);
            lua_pushfstring(L, "cannot start %s: no such program in PATH (%s)", name,
                            lua_tostring(L, -1));
            lua_remove(L, -2);
        }
        return "not_found";
    case EACCES:
    case EPERM:
        lua_pushfstring(L, "cannot start %s: no permission to execute it (chmod +x?)", name);
        return "permission";
    case ENOEXEC:
        lua_pushfstring(L, "cannot start %s: neither a program nor a script that begins with #!",
                        name);
        return "not_executable";
    case E2BIG:
        lua_pushfstring(L,
                        "cannot start %s: its arguments and environment are longer than the "
                        "system takes; send data through stdin",
                        name);
        return "too_large";
    default:
        lua_pushfstring(L, "cannot start %s: %s", name, strerror(error));
        return "system";
    }
}

int process_start_reason(lua_State *L)
{
    enum launch_stage stage = (enum launch_stage)luaL_checkinteger(L, 2);
    int error = (int)luaL_checkinteger(L, 3);
    const char *code = "system";
    lua_settop(L, 1);
    lua_getfield(L, 1, "argv");
    lua_rawgeti(L, -1, 1);
    const char *name = lua_tostring(L, -1);
    switch (stage) {
    case LAUNCH_CWD:
        lua_getfield(L, 1, "cwd");
        lua_pushfstring(L, "cannot start %s: its working directory %s: %s", name,
                        lua_tostring(L, -1), strerror(error));
        code = error == EACCES ? "permission" : error == ENOENT ? "not_found" : code;
        break;
    case LAUNCH_INTERPRETER:
        lua_pushfstring(L,
                        "cannot start %s: it is there, but not the interpreter that its first "
                        "line or its header names",
                        name);
        code = "not_found";
        break;
    case LAUNCH_EXEC:
        code = push_exec_reason(L, 1, name, error);
        break;
    case LAUNCH_HELPER:
        lua_pushfstring(L,
                        "cannot start %s: the process that starts programs for this worker has "
                        "ended; the worker is being replaced",
                        name);
        break;
    default:
        lua_pushfstring(L, "cannot start %s: %s", name, strerror(error));
    }
    lua_pushstring(L, code);
    lua_insert(L, -2);
    return 2;
}

/* ---- the start ---- */

struct child_process *process_start(lua_State *L, int index, struct loop *loop,
                                    struct child_options *options)
{
    enum launch_stage stage = LAUNCH_CLONE;
    int error = 0;
    uint32_t most = (uint32_t)number_field(L, index, "max_processes");
    if (children_count(loop) >= most) {
        lua_settop(L, lua_gettop(L) + 3);
        return NULL;
    }
    options->places[0] = place_field(L, index, "stdin");
    options->places[1] = place_field(L, index, "stdout");
    options->places[2] = place_field(L, index, "stderr");
    options->timeout_ms = ms_field(L, index, "timeout");
    options->grace_ms = ms_field(L, index, "grace");
    options->max_capture = (uint64_t)number_field(L, index, "max_capture");
    lua_getfield(L, index, "cwd");
    options->launch.cwd = lua_tostring(L, -1);
    options->launch.argv = push_strings(L, index, "argv");
    options->launch.env = push_strings(L, index, "env");
    struct child_process *child = child_start(loop, options, &stage, &error);
    if (child == NULL) {
        lua_pushnil(L);
        lua_pushinteger(L, (lua_Integer)stage);
        lua_pushinteger(L, -error);
    }
    return child;
}

void process_push_signal(lua_State *L, int number)
{
    const char *name = sigabbrev_np(number);
    if (name != NULL)
        lua_pushstring(L, name);
    else
        lua_pushfstring(L, "%d", number);
}

int process_signal_number(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TNUMBER) {
        lua_Number number = lua_tonumber(L, 1);
        if (!(number >= 1 && number < NSIG && number == floor(number)))
            return 0;
        lua_pushnumber(L, number);
        return 1;
    }
    const char *name = luaL_checkstring(L, 1);
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (int number = 1; number < NSIG; number++) {
        const char *known = sigabbrev_np(number);
        if (known != NULL && strcmp(known, name) == 0) {
            lua_pushinteger(L, number);
            return 1;
        }
    }
    return 0;
}

int process_environment(lua_State *L)
{
    lua_newtable(L);
    for (int i = 0; environ != NULL && environ[i] != NULL; i++) {
        lua_pushstring(L, environ[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}
