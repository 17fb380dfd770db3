#include "server/serve.h"

#include "script/command_line.h"
#include "server/config_load.h"
#include "server/control.h"
#include "server/master.h"
#include "server/proof.h"
#include "server/upgrade.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct words {
    const char *lua_dir;
    int argc;
    char **argv;
};

/* HUP: the same words, the environment and the file as they are now. */
static struct config *load_again(void *data, struct fault *fault)
{
    const struct words *words = data;
    struct config *config = NULL;
    struct command_line *line = command_line_new(words->lua_dir, words->argc, words->argv, fault);
    if (line == NULL)
        return NULL;
    if (strcmp(command_line_command(line), "serve") == 0)
        config = config_load(command_line_state(line), fault);
    else
        fault_set(fault, "%s", command_line_message(line));
    command_line_free(line);
    return config;
}

static int complain(const struct fault *fault)
{
    fprintf(stderr, "moonloop: %s\n", fault->text);
    return 1;
}

int serve_run(struct command_line *line, const char *lua_dir, int argc, char **argv)
{
    struct fault fault = {0};
    struct words words = {lua_dir, argc, argv};
    struct config_source source = {load_again, &words, argv};
    struct config *config = config_load(command_line_state(line), &fault);
    command_line_free(line);
    return config != NULL ? master_run(config, &source) : complain(&fault);
}

int serve_prove(struct command_line *line)
{
    struct fault fault = {0};
    struct config *config = config_load(command_line_state(line), &fault);
    command_line_free(line);
    bool is_good = config != NULL && proof_try(config, &fault);
    if (fault.is_set)
        complain(&fault);
    if (is_good)
        upgrade_print_proof();
    config_free(config);
    return is_good ? 0 : 1;
}

bool serve_is_call(const struct command_line *line)
{
    static const char *const calls[] = {"status", "reload",  "stop",   "scale",
                                        "ps",     "restart", "upgrade"};
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
        if (strcmp(command_line_command(line), calls[i]) == 0)
            return true;
    return strcmp(command_line_command(line), "routes") == 0 &&
           config_load_flag(command_line_state(line), "running");
}

/* The answer is JSON, of which Lua makes what people read. */
static bool is_rendered(struct command_line *line)
{
    return strcmp(command_line_command(line), "ps") == 0 &&
           !config_load_flag(command_line_state(line), "json");
}

/* "reload wait json": the request that control.h describes. */
static void make_request(struct command_line *line, struct buf *words)
{
    struct lua_State *L = command_line_state(line);
    buf_add_text(words, command_line_command(line));
    if (config_load_flag(L, "wait"))
        buf_add_text(words, " wait");
    if (strcmp(command_line_command(line), "scale") == 0)
        buf_printf(words, " %u", config_load_count(L, "count"));
    if (config_load_flag(L, "json") || is_rendered(line))
        buf_add_text(words, " json");
    buf_add_char(words, '\0');
}

/* A server of another version may answer what cannot be read: then it is shown as it is. */
static void render(struct command_line *line, struct buf *answer)
{
    struct buf text = {0};
    if (command_line_render(line, buf_str(answer), &text)) {
        buf_deinit(answer);
        *answer = text;
    }
}

int serve_call(struct command_line *line)
{
    struct fault fault = {0};
    struct buf words = {0}, answer = {0};
    struct config *config = config_load(command_line_state(line), &fault);
    bool is_stop = strcmp(command_line_command(line), "stop") == 0;
    bool is_json = config_load_flag(command_line_state(line), "json");
    make_request(line, &words);
    int exit_code = 1;
    if (config != NULL) {
        char *path = control_path(config);
        int status = control_call(path, words.ptr, is_stop, &answer, &fault);
        if (status == 0 && is_rendered(line))
            render(line, &answer);
        if (status >= 0)
            fwrite(answer.ptr, 1, answer.len, status == 0 || is_json ? stdout : stderr);
        exit_code = status != 0;
        free(path);
    }
    if (fault.is_set)
        complain(&fault);
    command_line_free(line);
    buf_deinit(&words);
    buf_deinit(&answer);
    config_free(config);
    return exit_code;
}
