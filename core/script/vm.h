/*
 * vm.h - one LuaJIT state with moonloop's libraries, and the scheduler that runs its tasks.
 *
 * Lives on one thread: a worker's loop thread has one VM per generation, an offload thread its own.
 * C functions registered through vm_library find their VM in their first upvalue.
 */
#pragma once

#include "base/fault.h"
#include "base/list.h"
#include "loop/timer.h"
#include "script/lua_memory.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct config;
struct generation;
struct jobs;
struct loop;
struct offload_origin;
struct scoreboard_slot;
struct several;
struct task;
struct topics;
struct worker_vm;
struct watchdog;

/* A slice is one resume of a task, or the load of an app. One of these for all VMs of a thread; the
 * watchdog's thread and its signal handler read it. */
struct slices {
    _Atomic uint64_t running; /* the number of the one that runs, 0 between two */
    _Atomic uint64_t noticed; /* the number of one that has held the loop for long */
    uint64_t count;
    struct vm *vm; /* whose it is, while one runs */
};

enum { VM_SPARE_TASKS = 1024, VM_KNOWN_USERDATA = 64 };

struct vm {
    lua_State *L;
    struct lua_memory memory;
    struct loop *loop;
    const char *lua_dir;           /* borrowed */
    const struct config *config;   /* NULL outside a server */
    struct generation *generation; /* NULL outside a server */

    struct jobs *jobs; /* see job.h; NULL before the first one */
    bool owns_jobs;    /* else the worker's */

    struct offload_origin *origin; /* of the jobs that it sends to threads, from the first one on */
    struct worker_vm *worker;      /* whose VM it is; NULL on the loop's thread */

    struct topics *topics;     /* NULL until they are used */
    struct topics *own_topics; /* freed with the VM; NULL: they are the worker's */

    struct task *current;     /* running now */
    struct link alive;        /* all tasks but the spare ones */
    struct link ready;        /* tasks that can go on, first come first served */
    struct timer ready_timer; /* goes on with `ready` after the loop had its turn */
    bool is_running_ready;
    uint32_t slices_left; /* of this turn of the loop */
    uint32_t nesting;     /* waits on the C stack that let ready tasks run */
    uint64_t shuffle;     /* state of the random order in which ready tasks run; 0: first come */
    struct task *spare_tasks;
    uint32_t nspare_tasks;
    struct several *spare_several; /* for waits in several queues */
    uint32_t nspare_several;
    uint32_t ntasks;      /* alive */
    uint64_t last_serial; /* of tasks */
    int new_error_ref;    /* function(code, message) -> error object */
    int wrap_error_ref;   /* function(err, traceback, sites) -> error object */
    int interrupted_ref;  /* function(reason, where) -> error object */
    int message_ref;      /* function(err) -> text for people */
    int coroutines_ref; /* weak set: coroutines that Lua must not resume, those of tasks among them
                         */
    struct {
        const void *data, *meta;
    } known[VM_KNOWN_USERDATA]; /* by address: found good by vm_check_known */
    const void *scope_meta;     /* metatables of what is checked often, for vm_check_userdata */
    const void *http_pool_meta;
    const void *http_request_meta;
    int install_ref; /* makes coroutine.resume and wrap pass waits through */

    struct slices *slices; /* the thread's */
    struct slices own_slices;
    struct watchdog *watchdog; /* NULL: nobody watches */
    uint8_t *suspects; /* by route: runs to be traced line by line; NULL: none ever blocked */
    struct scoreboard_slot *slot; /* NULL outside a worker */

    /* Called from the loop once no task is left; see vm_when_empty. */
    void (*on_empty)(void *data);
    void *on_empty_data;
    struct timer empty_timer;
};

/* Calls on_empty(data) once, from the loop, when no task is alive; perhaps at once in the next
 * turn. */
void vm_when_empty(struct vm *vm, void (*on_empty)(void *data), void *data);
/* For task.c: a task has gone. */
void vm_task_gone(struct vm *vm);

/* For task.c: around each lua_resume. `route`: number plus one, 0 for none. */
void vm_slice_begins(struct vm *vm, uint32_t route);
/* True when it has held the loop for long: watchdog_after_slice must be called. */
bool vm_slice_ends(struct vm *vm);

/* `config` may be NULL. NULL with the reason in `fault` when moonloop's own Lua cannot be loaded.
 */
struct vm *vm_new(struct loop *loop, const char *lua_dir, const struct config *config,
                  struct fault *fault);
/* Tasks that are still alive are dropped without running; see tasks_cancel_all. */
void vm_free(struct vm *vm);

/* Calls the function below `nargs` arguments on the VM's main stack, outside any task: it cannot
 * wait. False: the error with its traceback is in `fault` and nothing is left on the stack. */
bool vm_call(struct vm *vm, int nargs, int nresults, struct fault *fault);
/* The same on any state of the VM: 0 or lua_pcall's code with the error value on the stack. */
int vm_pcall(lua_State *L, int nargs, int nresults);
/* After Lua has run out of memory, outside any task: collects all garbage; see mem_declare_lost for
 * when that cannot be done. */
void vm_recover_memory(struct vm *vm);

/* The VM of a state; NULL for one that vm_new has not made. */
struct vm *vm_of(lua_State *L);
/* The VM of a C function that vm_library registered: cheaper. */
#define VM_UPVALUE(L) ((struct vm *)lua_touserdata((L), lua_upvalueindex(1)))
/* Pushes a table with the functions; or adds them to the table on top. */
void vm_library(lua_State *L, const luaL_Reg *functions);
void vm_add_functions(lua_State *L, const luaL_Reg *functions);
/* package.path and cpath of a new state: moonloop's own files in front of what LuaJIT came with
 * (Debian's Lua libraries, LuaJIT's jit.*), and not the current directory: no file there steps in.
 */
void vm_set_path(lua_State *L, const char *lua_dir);
/* luaL_newmetatable with __gc, NULL for none, without leaving it on the stack; where it is. */
const void *vm_new_metatable(lua_State *L, const char *name, lua_CFunction on_gc);
/* luaL_checkudata for a `meta` that the function above gave: several times cheaper. */
void *vm_check_userdata(lua_State *L, int index, const void *meta, const char *name);
/* The same for what lives long, by the VM of L: cheaper still. Before the collector may take
 * such userdata, in its __gc at the latest, vm_forget has to be called. */
void *vm_check_known(struct vm *vm, lua_State *L, int index, const void *meta, const char *name);
void vm_forget(struct vm *vm, const void *data);
/* Makes require(name) call `open`. */
void vm_preload(struct vm *vm, const char *name, lua_CFunction open);

/* Pushes an error object (lua/moonloop/util/errors.lua) with this code and message. */
void vm_push_error(lua_State *L, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
