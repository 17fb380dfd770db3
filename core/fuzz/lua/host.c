/*
 * A harness that is written in Lua (core/fuzz/lua/NAME.lua: a function of an input that raises when
 * what must hold does not), in a VM as moonloop run has it. One of these for each; FUZZ_NAME says
 * which.
 *
 * libFuzzer sees no coverage of Lua, so a hook tells it: each step from one line to another
 * counts. Traces would not call the hook, so the compiler is off. Without libFuzzer
 * core/fuzz/replay.lua runs the same files.
 */
#include "base/fault.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "script/vm.h"

#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNTERS = 1 << 14 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
const char *__asan_default_options(void);

/* What Lua's memory points at is no leak, and not to be seen there. */
const char *__asan_default_options(void)
{
    return "detect_leaks=0:quarantine_size_mb=64";
}

/* libFuzzer looks for this section, reads it after each input and clears it. */
static uint8_t counters[COUNTERS] __attribute__((section("__libfuzzer_extra_counters"), used));

static struct vm *vm;
static int property_ref;

/* The same in each process, or else what several of them found could not be merged. 0 for what is
 * no file of ours: an input that is code itself. */
static uint32_t hash_of(const char *source)
{
    uint32_t hash = 2166136261u;
    const char *at = source;
    for (; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    return at - source > 4 && strcmp(at - 4, ".lua") == 0 ? hash : 0;
}

static void on_line(lua_State *L, lua_Debug *where)
{
    static const char *last_source;
    static uint32_t source_hash, before;
    lua_getinfo(L, "S", where);
    if (where->source != last_source) {
        last_source = where->source;
        source_hash = hash_of(where->source);
    }
    if (source_hash == 0)
        return;
    uint32_t here = (source_hash ^ (uint32_t)where->currentline) * 2654435761u;
    counters[(here ^ before) >> 18] = 1; /* how often says little, and makes everything new */
    before = here >> 1;                  /* there and back are two */
}

/* For check.lua, which measures time. */
static int l_watch(lua_State *L)
{
    lua_sethook(L, lua_toboolean(L, 1) ? on_line : NULL, LUA_MASKLINE, 0);
    return 0;
}

static int open_coverage(lua_State *L)
{
    lua_pushcfunction(L, l_watch);
    return 1;
}

static void start(void)
{
    struct fault fault = {0};
    signal(SIGPIPE, SIG_IGN);
    vm = vm_new(loop_new(), MOONLOOP_SOURCE_LUA_DIR, NULL, &fault);
    if (vm != NULL)
        vm_preload(vm, "fuzz.coverage", open_coverage);
    if (vm == NULL || luaL_loadfile(vm->L, "core/fuzz/lua/" FUZZ_NAME ".lua") != 0 ||
        !vm_call(vm, 0, 1, &fault)) {
        fprintf(stderr, "%s\n",
                vm != NULL && fault.text[0] == '\0' ? lua_tostring(vm->L, -1) : fault.text);
        abort();
    }
    property_ref = luaL_ref(vm->L, LUA_REGISTRYINDEX);
    luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    lua_sethook(vm->L, on_line, LUA_MASKLINE, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fault fault = {0};
    if (vm == NULL)
        start();
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, property_ref);
    lua_pushlstring(vm->L, (const char *)data, len);
    if (!vm_call(vm, 1, 0, &fault)) {
        fprintf(stderr, "%s\n", fault.text);
        abort();
    }
    ENSURE(lua_gettop(vm->L) == 0);
    return 0;
}
