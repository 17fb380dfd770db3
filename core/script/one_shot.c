#include "script/one_shot.h"

#include "base/fault.h"
#include "loop/loop.h"
#include "script/task.h"
#include "script/vm.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct one_shot {
    struct vm *vm;
    struct loop *loop;
    bool has_ended;
    int exit_code;
};

/* The main task returns the exit code; when it fails, the Lua side itself is at fault. */
static void on_end(struct task *task, enum task_status status)
{
    struct one_shot *shot = task->data;
    shot->has_ended = true;
    if (status == TASK_DONE && lua_isnumber(task->co, -1)) {
        shot->exit_code = (int)lua_tointeger(task->co, -1);
    } else if (status != TASK_DONE) {
        lua_State *L = shot->vm->L;
        lua_getglobal(L, "tostring");
        task_push_failure(task, L);
        if (vm_pcall(L, 1, 1) == 0 && lua_isstring(L, -1))
            fprintf(stderr, "moonloop: %s\n", lua_tostring(L, -1));
        lua_settop(L, 0);
    }
    loop_stop(shot->loop);
}

static const struct task_owner owner = {on_end};

/* require("moonloop.cli").task and the words of argv, on the VM's main stack. */
static bool push_main(struct vm *vm, int argc, char **argv)
{
    struct fault fault = {0};
    lua_State *L = vm->L;
    lua_getglobal(L, "require");
    lua_pushliteral(L, "moonloop.cli");
    if (!vm_call(vm, 1, 1, &fault)) {
        fprintf(stderr, "moonloop: %s\n", fault.text);
        return false;
    }
    lua_getfield(L, -1, "task");
    lua_remove(L, -2);
    lua_createtable(L, argc, 0);
    for (int i = 1; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
    return true;
}

int one_shot_run(const char *lua_dir, int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a peer that is gone is an error of the write, not the end */
    signal(SIGCHLD, SIG_DFL); /* ignored, as it may be inherited, children end without a status */
    struct fault fault = {0};
    struct one_shot shot = {.loop = loop_new(), .exit_code = 1};
    shot.vm = vm_new(shot.loop, lua_dir, NULL, &fault);
    if (shot.vm == NULL) {
        fprintf(stderr, "moonloop: %s\n", fault.text);
        loop_free(shot.loop);
        return 1;
    }
    if (push_main(shot.vm, argc, argv)) {
        struct task *task = task_new(shot.vm, &owner, &shot);
        lua_xmove(shot.vm->L, task->co, 2);
        task_start(task, 1);
        loop_run(shot.loop);
        if (!shot.has_ended)
            fprintf(stderr, "moonloop: the main task waits for what can no longer happen\n");
    }
    fflush(stdout);
    tasks_cancel_all(shot.vm, "cancelled", "the main task has ended");
    while (shot.vm->ntasks > 0 && loop_turn_waiting(shot.loop))
        ;
    vm_free(shot.vm);
    loop_free(shot.loop);
    return shot.exit_code;
}
