/*
 * main.c - argv to master or one-shot command.
 */
#include "base/fault.h"
#include "base/helper.h"
#include "base/mem.h"
#include "base/standard_output.h"
#include "loop/job_process.h"
#include "loop/offload.h"
#include "net/library_memory.h"
#include "script/command_line.h"
#include "script/inspection.h"
#include "script/lua_dir.h"
#include "script/one_shot.h"
#include "script/process_child.h"
#include "server/config_load.h"
#include "server/handover.h"
#include "server/retreat.h"
#include "server/sandbox.h"
#include "server/serve.h"
#include "server/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words != NULL && strcmp(word, *words) != 0)
        words++;
    return *words != NULL;
}

/* Lua has finished the command, or found that it cannot be done. */
static int leave(struct command_line *line)
{
    if (command_line_message(line) != NULL)
        fprintf(stderr, "moonloop: %s\n", command_line_message(line));
    return command_line_exit_code(line);
}

/* `check` and `routes`. */
static int inspect(struct command_line *line)
{
    struct fault fault = {0};
    struct config *config = config_load(command_line_state(line), &fault);
    int exit_code = config != NULL ? inspection_run(line, config) : 1;
    if (config == NULL)
        fprintf(stderr, "moonloop: %s\n", fault.text);
    config_free(config);
    return exit_code;
}

/* Takes the command line over. */
static int dispatch(struct command_line *line, const char *lua_dir, int argc, char **argv,
                    bool is_proof)
{
    static const char *const tasks[] = {"run", "test", "fetch", "lint", NULL};
    const char *command = command_line_command(line);
    int exit_code = 1;
    if (strcmp(command, "serve") == 0)
        return is_proof ? serve_prove(line) : serve_run(line, lua_dir, argc, argv);
    if (strcmp(command, "fetch") != 0) /* that has an exit code of its own for it */
        atexit(standard_output_settle);
    if (serve_is_call(line))
        return serve_call(line);
    if (strcmp(command, "exit") == 0)
        exit_code = leave(line);
    else if (is_one_of(command, tasks))
        exit_code = one_shot_run(lua_dir, argc, argv);
    else
        exit_code = inspect(line);
    command_line_free(line);
    return exit_code;
}

/* Lua that calls itself by way of C (a callback of string.gsub that calls string.gsub) takes up to
 * 10 KB of this stack a level, and LuaJIT counts only the levels of its own stack: with 8 MB the
 * process crashes before Lua's "stack overflow". Memory is taken when it is used. */
static void raise_stack_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= OFFLOAD_STACK_BYTES)
        return;
    limit.rlim_cur =
        limit.rlim_max < OFFLOAD_STACK_BYTES ? limit.rlim_max : (rlim_t)OFFLOAD_STACK_BYTES;
    setrlimit(RLIMIT_STACK, &limit);
}

/* Closed by whoever started us, they would be given to sockets, and what is printed would go there.
 */
static void open_standard_files(void)
{
    int fd = 0;
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDWR);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* For a parent that may start no programs: neither may we. */
static int run_jobs(int argc, char **argv)
{
    if (helper_adopt(JOB_PROCESS_HELPER_FD) && !sandbox_narrow()) {
        fprintf(stderr, "moonloop: the sandbox cannot be entered: %s\n", strerror(errno));
        return 1;
    }
    return process_child_run(argc, argv);
}

int main(int argc, char **argv)
{
    if (!retreat_arm(argv))
        return 1;
    open_standard_files();
    raise_stack_limit();
    mem_reserve();
    library_memory_use();
    if (argc >= 2 && strcmp(argv[1], JOB_PROCESS_WORD) == 0)
        return run_jobs(argc, argv);
    bool is_proof = argc >= 2 && strcmp(argv[1], UPGRADE_PROOF_WORD) == 0;
    if (is_proof) {
        argv[1] = argv[0];
        argv++;
        argc--;
    }
    struct fault fault = {0};
    struct command_line *line = NULL;
    int exit_code = 1;
    char *lua_dir = lua_dir_find();
    if (lua_dir == NULL) {
        fprintf(stderr,
                "moonloop: cannot find moonloop's own Lua files; is this a complete install? "
                "MOONLOOP_LUA_DIR can name their directory.\n");
        handover_return(argv);
        return 1;
    }
    if ((line = command_line_new(lua_dir, argc, argv, &fault)) == NULL)
        fprintf(stderr, "moonloop: %s\n", fault.text);
    else
        exit_code = dispatch(line, lua_dir, argc, argv, is_proof);
    free(lua_dir);
    if (exit_code != 0)
        handover_return(argv);
    return exit_code;
}
