/*
 * main.c - argv to master or one-shot command.
 */
#include "base/fault.h"
#include "script/command_line.h"
#include "script/lua_dir.h"
#include "server/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct fault fault = {0};
    struct command_line *line = NULL;
    int exit_code = 1;
    char *lua_dir = lua_dir_find();
    if (lua_dir == NULL) {
        fprintf(stderr,
                "moonloop: cannot find moonloop's own Lua files; is this a complete install? "
                "MOONLOOP_LUA_DIR can name their directory.\n");
        return 1;
    }
    if ((line = command_line_new(lua_dir, argc, argv, &fault)) == NULL)
        fprintf(stderr, "moonloop: %s\n", fault.text);
    else if (strcmp(command_line_command(line), "exit") == 0)
        exit_code = command_line_exit_code(line);
    else if (strcmp(command_line_command(line), "run") == 0 ||
             strcmp(command_line_command(line), "test") == 0)
        exit_code = command_line_task(line, argc, argv);
    else
        fprintf(stderr, "moonloop: %s: not there yet\n", command_line_command(line));
    command_line_free(line);
    free(lua_dir);
    return exit_code;
}
