#include "script/vm.h"

#include "base/mem.h"
#include "loop/loop.h"
#include "loop/offload.h"
#include "script/job.h"
#include "script/lib_core.h"
#include "script/task.h"
#include "script/topics.h"
#include "script/wait_several.h"
#include "script/watchdog.h"
#include "shared/scoreboard.h"

#include <lualib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char vm_key = 0; /* its address is the key in the registry */

struct vm *vm_of(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&vm_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    struct vm *vm = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return vm;
}

const void *vm_new_metatable(lua_State *L, const char *name, lua_CFunction on_gc)
{
    luaL_newmetatable(L, name);
    const void *meta = lua_topointer(L, -1);
    if (on_gc != NULL) {
        lua_pushcfunction(L, on_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
    return meta;
}

void *vm_check_userdata(lua_State *L, int index, const void *meta, const char *name)
{
    void *data = lua_touserdata(L, index);
    if (data != NULL && lua_getmetatable(L, index) != 0) {
        bool is_it = lua_topointer(L, -1) == meta;
        lua_pop(L, 1);
        if (is_it)
            return data;
    }
    return luaL_checkudata(L, index, name); /* raises */
}

static uint32_t known_place(const void *data)
{
    return (uint32_t)((uintptr_t)data >> 4) % VM_KNOWN_USERDATA;
}

void *vm_check_known(struct vm *vm, lua_State *L, int index, const void *meta, const char *name)
{
    void *data = lua_touserdata(L, index);
    uint32_t at = known_place(data);
    if (data != NULL && vm->known[at].data == data && vm->known[at].meta == meta)
        return data;
    data = vm_check_userdata(L, index, meta, name);
    vm->known[at].data = data;
    vm->known[at].meta = meta;
    return data;
}

void vm_forget(struct vm *vm, const void *data)
{
    uint32_t at = known_place(data);
    if (vm->known[at].data == data)
        vm->known[at].data = NULL;
}

void vm_add_functions(lua_State *L, const luaL_Reg *functions)
{
    struct vm *vm = vm_of(L);
    for (; functions->name != NULL; functions++) {
        lua_pushlightuserdata(L, vm);
        lua_pushcclosure(L, functions->func, 1);
        lua_setfield(L, -2, functions->name);
    }
}

void vm_library(lua_State *L, const luaL_Reg *functions)
{
    lua_newtable(L);
    vm_add_functions(L, functions);
}

void vm_preload(struct vm *vm, const char *name, lua_CFunction open)
{
    lua_getglobal(vm->L, "package");
    lua_getfield(vm->L, -1, "preload");
    lua_pushcfunction(vm->L, open);
    lua_setfield(vm->L, -2, name);
    lua_pop(vm->L, 2);
}

/* Keeps error objects as they are; gives strings a traceback. */
static int add_traceback(lua_State *L)
{
    if (lua_isstring(L, 1))
        luaL_traceback(L, L, lua_tostring(L, 1), 1);
    else
        lua_pushvalue(L, 1);
    return 1;
}

int vm_pcall(lua_State *L, int nargs, int nresults)
{
    int handler = lua_gettop(L) - nargs;
    struct vm *vm = vm_of(L); /* NULL: the command line's state has none */
    lua_pushcfunction(L, add_traceback);
    lua_insert(L, handler);
    const void *bottom = vm != NULL ? vm->memory.bottom : NULL;
    bool before = vm != NULL && lua_memory_begin(&vm->memory, __builtin_frame_address(0));
    int status = lua_pcall(L, nargs, nresults, handler);
    if (vm != NULL)
        lua_memory_end(&vm->memory, before, bottom);
    lua_remove(L, handler);
    return status;
}

/* The text of any error value: tostring is asked, because error objects have a __tostring. */
static void set_fault(lua_State *L, struct fault *fault)
{
    if (lua_isstring(L, -1)) {
        fault_set(fault, "%s", lua_tostring(L, -1));
        return;
    }
    lua_getglobal(L, "tostring");
    lua_pushvalue(L, -2);
    if (lua_pcall(L, 1, 1, 0) == 0 && lua_isstring(L, -1))
        fault_set(fault, "%s", lua_tostring(L, -1));
    else
        fault_set(fault, "an error that is a %s", luaL_typename(L, -2));
    lua_pop(L, 1);
}

bool vm_call(struct vm *vm, int nargs, int nresults, struct fault *fault)
{
    if (vm_pcall(vm->L, nargs, nresults) == 0)
        return true;
    set_fault(vm->L, fault);
    lua_pop(vm->L, 1);
    return false;
}

/* With what the reserve has. What fails even so raises, here too; vm_pcall puts the memory right
 * again. */
static int l_collect(lua_State *L)
{
    lua_memory_set(&vm_of(L)->memory, false);
    lua_gc(L, LUA_GCCOLLECT, 0);
    return 0;
}

/* The collector itself asks for memory at the end of each cycle, when it makes the table of strings
 * smaller. Where there is none for that it never begins another cycle: all garbage stays, and its
 * steps raise, in the middle of anything. Then it is stopped, and this process is at its end. */
void vm_recover_memory(struct vm *vm)
{
    lua_pushcfunction(vm->L, l_collect);
    if (vm_pcall(vm->L, 0, 0) == 0)
        return;
    lua_pop(vm->L, 1);
    lua_gc(vm->L, LUA_GCSTOP, 0);
    mem_declare_lost();
}

void vm_push_error(lua_State *L, const char *code, const char *format, ...)
{
    struct vm *vm = vm_of(L);
    /* No function is called on a coroutine that has yielded: its frames would be lost. */
    lua_State *at = lua_status(L) == LUA_YIELD ? vm->L : L;
    /* What runs now could not catch what is raised on another state. */
    bool before = lua_memory_set(&vm->memory, at == L && at != vm->L && vm->memory.may_raise);
    va_list args;
    lua_rawgeti(at, LUA_REGISTRYINDEX, vm->new_error_ref);
    lua_pushstring(at, code);
    va_start(args, format);
    lua_pushvfstring(at, format, args);
    va_end(args);
    lua_call(at, 2, 1); /* builds a table: it can only fail when memory is out */
    lua_memory_set(&vm->memory, before);
    if (at != L)
        lua_xmove(at, L, 1);
}

void vm_set_path(lua_State *L, const char *lua_dir)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    const char *path = luaL_gsub(L, lua_tostring(L, -1), "./?.lua;", "");
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", lua_dir, lua_dir, path);
    lua_setfield(L, -4, "path");
    lua_pop(L, 2);
    lua_getfield(L, -1, "cpath");
    luaL_gsub(L, lua_tostring(L, -1), "./?.so;", "");
    lua_setfield(L, -3, "cpath");
    lua_pop(L, 2);
}

/* A function of a module of our own, kept in the registry. */
static bool keep_function(struct vm *vm, const char *module, const char *name, int *ref,
                          struct fault *fault)
{
    lua_getglobal(vm->L, "require");
    lua_pushstring(vm->L, module);
    if (!vm_call(vm, 1, 1, fault))
        return false;
    lua_getfield(vm->L, -1, name);
    *ref = luaL_ref(vm->L, LUA_REGISTRYINDEX);
    lua_pop(vm->L, 1);
    return true;
}

struct vm *vm_new(struct loop *loop, const char *lua_dir, const struct config *config,
                  struct fault *fault)
{
    struct vm *vm = MEM_NEW(struct vm);
    vm->loop = loop;
    vm->lua_dir = lua_dir;
    vm->config = config;
    vm->slices = &vm->own_slices;
    link_init(&vm->ready);
    link_init(&vm->alive);
    vm->L = luaL_newstate();
    if (vm->L == NULL) {
        fault_set(fault, "out of memory");
        free(vm);
        return NULL;
    }
    lua_memory_init(&vm->memory, vm->L);
    luaL_openlibs(vm->L);
    lua_pushlightuserdata(vm->L, (void *)&vm_key);
    lua_pushlightuserdata(vm->L, vm);
    lua_rawset(vm->L, LUA_REGISTRYINDEX);
    vm_set_path(vm->L, lua_dir);
    lib_core_preload(vm);
    if (!keep_function(vm, "moonloop.util.errors", "new", &vm->new_error_ref, fault) ||
        !keep_function(vm, "moonloop.util.errors", "wrap", &vm->wrap_error_ref, fault) ||
        !keep_function(vm, "moonloop.util.errors", "interrupted", &vm->interrupted_ref, fault) ||
        !keep_function(vm, "moonloop.util.errors", "message", &vm->message_ref, fault) ||
        !keep_function(vm, "moonloop.coroutines", "install", &vm->install_ref, fault)) {
        vm_free(vm);
        return NULL;
    }
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, vm->install_ref);
    if (!vm_call(vm, 0, 0, fault)) {
        vm_free(vm);
        return NULL;
    }
    return vm;
}

void vm_free(struct vm *vm)
{
    if (vm == NULL)
        return;
    ENSURE(vm->current == NULL);
    vm->on_empty = NULL;
    if (vm->jobs != NULL)
        jobs_forget(vm->jobs, vm);
    tasks_kill_all(vm);
    if (vm->owns_jobs)
        jobs_free(vm->jobs);
    timer_stop(vm->loop, &vm->ready_timer);
    timer_stop(vm->loop, &vm->empty_timer);
    while (vm->spare_tasks != NULL) {
        struct task *task = vm->spare_tasks;
        vm->spare_tasks = task->next_spare;
        free(task);
    }
    several_free_spare(vm);
    lua_memory_deinit(&vm->memory);
    lua_close(vm->L);
    topics_free(vm->own_topics);
    free(vm->suspects);
    offload_origin_unref(vm->origin);
    free(vm);
}

void vm_slice_begins(struct vm *vm, uint32_t route)
{
    struct slices *slices = vm->slices;
    slices->vm = vm;
    atomic_store_explicit(&slices->running, ++slices->count, memory_order_release);
    if (vm->slot != NULL)
        atomic_store_explicit(&vm->slot->running, route, memory_order_relaxed);
    if (vm->suspects != NULL)
        watchdog_before_slice(vm, route);
}

bool vm_slice_ends(struct vm *vm)
{
    struct slices *slices = vm->slices;
    atomic_store_explicit(&slices->running, 0, memory_order_release);
    if (vm->slot != NULL)
        atomic_store_explicit(&vm->slot->running, 0, memory_order_relaxed);
    return atomic_load_explicit(&slices->noticed, memory_order_relaxed) == slices->count;
}

static void on_empty_timer(struct timer *timer)
{
    struct vm *vm = LIST_ENTRY(timer, struct vm, empty_timer);
    void (*on_empty)(void *data) = vm->on_empty;
    if (on_empty == NULL || vm->ntasks != 0)
        return;
    vm->on_empty = NULL;
    on_empty(vm->on_empty_data);
}

void vm_task_gone(struct vm *vm)
{
    if (--vm->ntasks == 0 && vm->on_empty != NULL && !timer_is_running(&vm->empty_timer))
        timer_start(vm->loop, &vm->empty_timer, 0, on_empty_timer);
}

void vm_when_empty(struct vm *vm, void (*on_empty)(void *data), void *data)
{
    vm->on_empty = on_empty;
    vm->on_empty_data = data;
    if (vm->ntasks == 0)
        timer_start(vm->loop, &vm->empty_timer, 0, on_empty_timer);
}
