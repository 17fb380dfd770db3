/*
 * Three parties share little: the watchdog's thread reads slices.running and writes `noticed`,
 * `seen_ms` and `struck`; the signal handler and the hook run on the loop thread, as everything
 * else does. A strike is repeated at every look until its slice is over, because one can be lost:
 * LuaJIT puts the hooks back as they were when it returns from a profiler callback.
 */
#include "script/watchdog.h"

#include "base/config.h"
#include "base/mem.h"
#include "base/thread_share.h"
#include "script/generation_state.h"
#include "script/task.h"
#include "script/watchdog_log.h"

#include <errno.h>
#include <luajit.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_MIN_MS = 10,
    LOOK_MAX_MS = 100,
    LOOKS_PER_LIMIT = 16,
    LEAST_SHARE = 4, /* a quarter of the limit has to be its own doing */
    NOTICE_MIN_MS = 100,
    STACK_FOR_HOOK = 40,
    SUSPECT_RUNS = 50, /* that long a route is traced after it has blocked */
    PLACE_BYTES = 128,
};

/* The profiler's own timer would tick all the time; ours are sent one by one. */
#define PROFILER_MODE "li1000000000"
#define STRIKE_SIGNAL (SIGRTMIN + 5)

/* The line that took the longest in the slice of a suspect. */
struct block {
    bool is_traced;
    uint64_t since_ms;      /* the last line began */
    uint64_t held_ms;       /* the longest */
    char line[PLACE_BYTES]; /* the last: "apps/hello.lua:12" */
    char longest[PLACE_BYTES];
};

struct watchdog {
    struct slices slices;
    uint32_t limit_ms; /* 0: off */
    uint32_t notice_ms;
    uint32_t look_ms;
    struct vm *compiled; /* the VM that the profiler watches */
    struct block block;  /* while the slice of a suspect runs */
    int error_ref;       /* of the error that the hook raises, in the VM whose slice runs */
    bool is_hook_set;

    pthread_t loop_thread;
    pthread_t thread;
    pthread_mutex_t lock; /* is_stopping */
    pthread_cond_t wake;
    bool is_stopping;
    struct thread_share share; /* of the loop thread */
    uint64_t taken_ms;         /* of the slice that is seen: see thread_share.h */
    uint64_t looked_ms;        /* when that was */
    _Atomic uint64_t struck;   /* the slice to interrupt */
    _Atomic uint64_t seen;     /* the slice seen at the last look */
    _Atomic uint64_t seen_ms;  /* for how long `seen` has been running, at the last look */
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- the loop thread: hook and signal ---- */

/* "apps/hello.lua:12: " of the innermost Lua function, or nothing. */
static void push_place(lua_State *L)
{
    lua_Debug at;
    for (int level = 0; lua_getstack(L, level, &at) != 0; level++) {
        if (lua_getinfo(L, "Sl", &at) != 0 && at.currentline >= 0) {
            lua_pushfstring(L, "%s:%d: ", at.short_src, at.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

/* The stack of a user's own coroutine ends at its first function: the task's goes below. */
static void push_traceback(lua_State *L, struct vm *vm)
{
    if (vm->current == NULL || vm->current->co == L) {
        if (vm->current != NULL)
            task_push_traceback(vm->current, L);
        else
            luaL_traceback(L, L, NULL, 0);
        return;
    }
    luaL_traceback(L, L, NULL, 0);
    lua_pushliteral(L, "\nin a coroutine of\n");
    task_push_traceback(vm->current, L);
    lua_concat(L, 3);
}

static void make_error(lua_State *L, struct watchdog *watchdog)
{
    struct vm *vm = watchdog->slices.vm;
    luaL_checkstack(L, STACK_FOR_HOOK, "cannot interrupt");
    push_place(L);
    vm_push_error(L, "blocked", "%sheld the loop for %f s without waiting (block_limit is %f s)",
                  lua_tostring(L, -1),
                  (double)atomic_load_explicit(&watchdog->seen_ms, memory_order_relaxed) / 1000,
                  watchdog->limit_ms / 1000.0);
    lua_remove(L, -2);
    push_traceback(L, vm);
    lua_setfield(L, -2, "traceback");
    lua_pushboolean(L, true);
    lua_setfield(L, -2, "is_traced");
    watchdog->error_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Runs before each instruction until the slice is over, so that no pcall keeps the error for
 * itself. */
static void on_hook(lua_State *L, lua_Debug *at)
{
    struct watchdog *watchdog = vm_of(L)->watchdog;
    (void)at;
    if (atomic_load_explicit(&watchdog->slices.running, memory_order_relaxed) !=
        atomic_load_explicit(&watchdog->struck, memory_order_relaxed))
        return; /* between two slices; watchdog_after_slice is about to take it away */
    if (watchdog->error_ref == LUA_NOREF)
        make_error(L, watchdog);
    lua_rawgeti(L, LUA_REGISTRYINDEX, watchdog->error_ref);
    lua_error(L);
}

/* On the loop thread, perhaps in the middle of anything: lua_sethook is made for that. It is taken
 * away first, because LuaJIT only changes its dispatch tables when the hooks do. */
static void on_strike(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    (void)number;
    (void)context;
    if (info->si_code != SI_QUEUE || info->si_pid != getpid())
        return;
    struct watchdog *watchdog = info->si_value.sival_ptr;
    uint64_t running = atomic_load_explicit(&watchdog->slices.running, memory_order_acquire);
    if (running != 0 && running == atomic_load_explicit(&watchdog->struck, memory_order_relaxed)) {
        struct vm *vm = watchdog->slices.vm;
        lua_sethook(vm->L, NULL, 0, 0);
        lua_sethook(vm->L, on_hook, LUA_MASKCOUNT | LUA_MASKLINE, 1);
        watchdog->is_hook_set = true;
        if (vm == watchdog->compiled)
            raise(SIGPROF);
    }
    errno = saved;
}

/* ---- the watchdog's thread ---- */

static void strike(struct watchdog *watchdog, uint64_t slice)
{
    union sigval value = {.sival_ptr = watchdog};
    atomic_store(&watchdog->struck, slice);
    pthread_sigqueue(watchdog->loop_thread, STRIKE_SIGNAL, value);
}

/* On a busy machine the clock alone would end handlers that compute for a few milliseconds, and
 * what they have taken alone would keep everybody waiting for one that never ends. */
static bool is_due(uint64_t limit_ms, uint64_t held_ms, uint64_t taken_ms)
{
    return held_ms >= limit_ms && taken_ms * LEAST_SHARE >= limit_ms;
}

/* Time that this thread did not get either (a suspended machine, SIGSTOP) is not held against
 * anyone. */
static void look(struct watchdog *watchdog)
{
    uint64_t running = atomic_load_explicit(&watchdog->slices.running, memory_order_relaxed);
    uint64_t now = now_ms(), passed = now - watchdog->looked_ms;
    uint64_t held, taken;
    watchdog->looked_ms = now;
    if (running == 0 || running != atomic_load(&watchdog->seen)) {
        atomic_store(&watchdog->seen, running);
        atomic_store(&watchdog->seen_ms, 0);
        watchdog->taken_ms = 0;
        if (running != 0)
            thread_share_begin(&watchdog->share);
        return;
    }
    if (passed > 4 * (uint64_t)watchdog->look_ms)
        passed = watchdog->look_ms;
    held = atomic_load(&watchdog->seen_ms) + passed;
    taken = watchdog->taken_ms += thread_share_take(&watchdog->share, passed);
    atomic_store(&watchdog->seen_ms, held);
    if (is_due(watchdog->notice_ms, held, taken) || is_due(watchdog->limit_ms, held, taken))
        atomic_store(&watchdog->slices.noticed, running);
    if (is_due(watchdog->limit_ms, held, taken))
        strike(watchdog, running);
}

static void *watch(void *data)
{
    struct watchdog *watchdog = data;
    pthread_mutex_lock(&watchdog->lock);
    watchdog->looked_ms = now_ms();
    while (!watchdog->is_stopping) {
        uint64_t due = now_ms() + watchdog->look_ms;
        struct timespec until = {.tv_sec = (time_t)(due / 1000),
                                 .tv_nsec = (long)(due % 1000) * 1000000};
        pthread_cond_timedwait(&watchdog->wake, &watchdog->lock, &until);
        look(watchdog);
    }
    pthread_mutex_unlock(&watchdog->lock);
    return NULL;
}

/* ---- life ---- */

/* What handles SIGPROF: LuaJIT's profiler while it runs. */
static void (*profiler_signal(void))(int)
{
    struct sigaction now;
    sigaction(SIGPROF, NULL, &now);
    return now.sa_handler;
}

static void install_signals(void)
{
    struct sigaction action = {.sa_sigaction = on_strike, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigset_t ours;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGPROF);
    sigaction(STRIKE_SIGNAL, &action, NULL);
    if (profiler_signal() ==
        SIG_DFL) /* one that comes while no profiler runs would end the process */
        signal(SIGPROF, SIG_IGN);
    sigemptyset(&ours);
    sigaddset(&ours, STRIKE_SIGNAL);
    sigaddset(&ours, SIGPROF);
    pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
}

static void start_thread(struct watchdog *watchdog)
{
    pthread_condattr_t attributes;
    sigset_t all, before;
    watchdog->loop_thread = pthread_self();
    thread_share_init(&watchdog->share);
    pthread_mutex_init(&watchdog->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    ENSURE(pthread_create(&watchdog->thread, NULL, watch, watchdog) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct watchdog *watchdog_new(const struct config *config)
{
    struct watchdog *watchdog = MEM_NEW(struct watchdog);
    uint32_t limit = config->block_limit_ms, look_ms = limit / LOOKS_PER_LIMIT;
    watchdog->error_ref = LUA_NOREF;
    watchdog->limit_ms = limit;
    watchdog->notice_ms = limit / 2 > NOTICE_MIN_MS ? limit / 2 : NOTICE_MIN_MS;
    watchdog->look_ms = look_ms < LOOK_MIN_MS   ? LOOK_MIN_MS
                        : look_ms > LOOK_MAX_MS ? LOOK_MAX_MS
                                                : look_ms;
    if (limit != 0) {
        install_signals();
        start_thread(watchdog);
    }
    return watchdog;
}

/* After the join no strike is on its way: one that was sent has been delivered with that call. */
void watchdog_free(struct watchdog *watchdog)
{
    if (watchdog == NULL)
        return;
    ENSURE(watchdog->compiled == NULL);
    if (watchdog->limit_ms != 0) {
        pthread_mutex_lock(&watchdog->lock);
        watchdog->is_stopping = true;
        pthread_cond_signal(&watchdog->wake);
        pthread_mutex_unlock(&watchdog->lock);
        pthread_join(watchdog->thread, NULL);
        pthread_cond_destroy(&watchdog->wake);
        pthread_mutex_destroy(&watchdog->lock);
        thread_share_deinit(&watchdog->share);
    }
    free(watchdog);
}

static void set_compiler(struct vm *vm, int mode)
{
    luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | mode);
}

/* For moonloop.guard: true while the running slice is being ended. */
static int l_is_interrupting(lua_State *L)
{
    const struct watchdog *watchdog = vm_of(L)->watchdog;
    lua_pushboolean(L, watchdog != NULL &&
                           atomic_load_explicit(&watchdog->slices.running, memory_order_relaxed) ==
                               atomic_load_explicit(&watchdog->struck, memory_order_relaxed));
    return 1;
}

bool watchdog_join(struct watchdog *watchdog, struct vm *vm, struct fault *fault)
{
    if (watchdog->limit_ms == 0)
        return true;
    lua_getglobal(vm->L, "require");
    lua_pushliteral(vm->L, "moonloop.guard");
    if (!vm_call(vm, 1, 1, fault))
        return false;
    lua_pushcfunction(vm->L, l_is_interrupting);
    if (!vm_call(vm, 1, 0, fault))
        return false;
    vm->watchdog = watchdog;
    vm->slices = &watchdog->slices;
    set_compiler(vm, LUAJIT_MODE_OFF);
    set_compiler(vm, LUAJIT_MODE_FLUSH);
    return true;
}

static void on_tick(void *data, lua_State *L, int samples, int vmstate)
{
    (void)data;
    (void)L;
    (void)samples;
    (void)vmstate;
}

/* Stopping the profiler throws away all compiled code: it has checks that would no longer be heard.
 */
static void stop_compiling(struct watchdog *watchdog)
{
    if (watchdog->compiled == NULL)
        return;
    set_compiler(watchdog->compiled, LUAJIT_MODE_OFF);
    luaJIT_profile_stop(watchdog->compiled->L);
    watchdog->compiled = NULL;
}

void watchdog_favour(struct watchdog *watchdog, struct vm *vm)
{
    const struct itimerval never = {{0, 0}, {0, 0}};
    if (watchdog->limit_ms == 0)
        return;
    stop_compiling(watchdog);
    if (profiler_signal() != SIG_IGN)
        return; /* another watchdog of this process has it; without the compiler a hook will do */
    luaJIT_profile_start(vm->L, PROFILER_MODE, on_tick, NULL);
    setitimer(ITIMER_PROF, &never, NULL);
    watchdog->compiled = vm;
    set_compiler(vm, LUAJIT_MODE_ON);
}

void watchdog_leave(struct vm *vm)
{
    struct watchdog *watchdog = vm->watchdog;
    if (watchdog != NULL && watchdog->compiled == vm)
        stop_compiling(watchdog);
}

/* ---- suspects ---- */

/* A call that blocks has returned before anybody can ask where it was made: a signal would cut it
 * short. So a route that has blocked once has its next runs timed line by line. */
static void suspect(struct vm *vm, uint32_t route)
{
    if (route == 0 || vm->generation == NULL || route > vm->generation->nroutes)
        return;
    if (vm->suspects == NULL)
        vm->suspects = mem_zeroed(vm->generation->nroutes);
    vm->suspects[route - 1] = SUSPECT_RUNS;
}

static void end_line(struct block *block, uint64_t now)
{
    if (block->line[0] != '\0' && now - block->since_ms > block->held_ms) {
        block->held_ms = now - block->since_ms;
        memcpy(block->longest, block->line, sizeof(block->line));
    }
    block->since_ms = now;
}

static void on_line(lua_State *L, lua_Debug *at)
{
    struct block *block = &vm_of(L)->watchdog->block;
    end_line(block, now_ms());
    if (lua_getinfo(L, "S", at) != 0)
        snprintf(block->line, sizeof(block->line), "%s:%d", at->short_src, at->currentline);
}

void watchdog_before_slice(struct vm *vm, uint32_t route)
{
    struct watchdog *watchdog = vm->watchdog;
    if (route == 0 || route > vm->generation->nroutes || vm->suspects[route - 1] == 0)
        return;
    vm->suspects[route - 1]--;
    watchdog->block = (struct block){.is_traced = true, .since_ms = now_ms()};
    atomic_store(&watchdog->slices.noticed,
                 watchdog->slices.count); /* look at it when it is over */
    watchdog->is_hook_set = true;
    lua_sethook(vm->L, on_line, LUA_MASKLINE, 0);
}

/* ---- after a slice ---- */

/* A slice that was not interrupted, but noticed or traced. */
static void after_long_slice(struct vm *vm)
{
    struct watchdog *watchdog = vm->watchdog;
    struct block *block = &watchdog->block;
    uint64_t held_ms = 0;
    if (atomic_load(&watchdog->seen) == watchdog->slices.count)
        held_ms = atomic_load(&watchdog->seen_ms);
    if (block->is_traced) {
        end_line(block, now_ms());
        if (block->held_ms > held_ms)
            held_ms = block->held_ms;
        else if (block->held_ms < held_ms / 2)
            block->longest[0] = '\0'; /* many lines, none of which blocks */
    }
    if (held_ms < watchdog->notice_ms)
        return;
    watchdog_log_noticed(vm, block->longest, held_ms);
    if (vm->current != NULL)
        suspect(vm, vm->current->route);
}

int watchdog_after_slice(struct vm *vm, lua_State *co, int status)
{
    struct watchdog *watchdog = vm->watchdog;
    int error_ref = watchdog->error_ref;
    if (watchdog->is_hook_set)
        lua_sethook(vm->L, NULL, 0, 0);
    watchdog->is_hook_set = false;
    watchdog->error_ref = LUA_NOREF;
    if (error_ref == LUA_NOREF)
        after_long_slice(vm);
    watchdog->block.is_traced = false;
    watchdog->block.longest[0] = '\0';
    if (error_ref == LUA_NOREF)
        return status;
    if (status == 0)
        lua_settop(co, 0); /* what it returned after catching the error */
    luaL_checkstack(co, STACK_FOR_HOOK, NULL);
    lua_rawgeti(co, LUA_REGISTRYINDEX, error_ref);
    luaL_unref(co, LUA_REGISTRYINDEX, error_ref);
    if (vm->current != NULL) /* else it is loading, and whoever loads reports it */
        watchdog_log_interrupted(vm, co);
    if (status == LUA_YIELD) { /* it has caught the error and waits: the next slice goes on */
        lua_pop(co, 1);
        return status;
    }
    return LUA_ERRRUN;
}
