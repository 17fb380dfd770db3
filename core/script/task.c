/*
 * The scheduler. A task runs in slices: one lua_resume, from a start or the end of a wait to the
 * next wait or the end. Only one slice of a VM runs at a time; what becomes ready meanwhile is
 * queued and run when the slice is over, a bounded number of slices per turn of the loop.
 */
#include "script/task.h"

#include "base/mem.h"
#include "loop/loop.h"
#include "script/task_parts.h"
#include "script/watchdog.h"

#include <stdlib.h>
#include <string.h>

enum {
    SLICES_PER_TURN = 1000,
    NESTING_MAX = 10,    /* a few hundred bytes of the C stack each */
    CANCEL_ROUNDS = 100, /* of SLICES_PER_TURN, for clean-up before a VM is freed */
};

/* ---- life ---- */

static void set_co(struct task *task)
{
    lua_State *L = task->vm->L;
    task->co = lua_newthread(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->vm->coroutines_ref);
    lua_pushvalue(L, -2);
    lua_pushboolean(L, true);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    task->co_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushboolean(L, false);
    task->handle_slot = luaL_ref(L, LUA_REGISTRYINDEX);
}

struct task *task_new(struct vm *vm, const struct task_owner *owner, void *data)
{
    struct task *task = vm->spare_tasks;
    if (task != NULL) {
        vm->spare_tasks = task->next_spare;
        vm->nspare_tasks--;
    } else {
        task = MEM_NEW(struct task);
        task->vm = vm;
        link_init(&task->own.waiter.link);
        set_co(task);
    }
    vm->ntasks++;
    task->serial = ++vm->last_serial;
    link_append(&vm->alive, &task->alive);
    link_init(&task->ready);
    link_init(&task->link);
    wait_queue_init(&task->ended, NULL, UINT32_MAX);
    task->ended.kind = WAIT_PASSIVE;
    task->ended.owner = task;
    link_init(&task->mutexes);
    scope_init(&task->root, task, NULL);
    task->scope = &task->root;
    task->home = NULL;
    task->op = NULL;
    task->handle_ref = LUA_NOREF;
    task->owner = owner;
    task->data = data;
    task->route = 0;
    task->exchange = NULL;
    task->is_started = task->is_nesting = task->has_one_result = false;
    task->begun_ms = loop_now_ms(vm->loop);
    task->status = TASK_READY;
    task->site[0] = '\0';
    return task;
}

static void task_recycle(struct task *task)
{
    struct vm *vm = task->vm;
    bool is_reusable = task->status == TASK_DONE && vm->nspare_tasks < VM_SPARE_TASKS;
    vm_task_gone(vm);
    link_remove(&task->alive);
    if (is_reusable) {
        lua_settop(task->co, 0);
        task->next_spare = vm->spare_tasks;
        vm->spare_tasks = task;
        vm->nspare_tasks++;
        return;
    }
    luaL_unref(vm->L, LUA_REGISTRYINDEX, task->co_ref);
    luaL_unref(vm->L, LUA_REGISTRYINDEX, task->handle_slot);
    free(task);
}

void task_adopt(struct task *task, struct scope *home)
{
    const struct task *parent = home->owner;
    lua_State *L = task->vm->L;
    task->home = home;
    task->route = parent->route;
    task->exchange = parent->exchange;
    task->exchange_serial = parent->exchange_serial;
    task->root.parent = home;
    home->ntasks++;
    link_append(&home->tasks, &task->link);
    link_append(&home->scopes, &task->root.link);
    if (home->is_cancelled) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, home->reason_ref);
        scope_cancel(&task->root, L);
    }
}

/* ---- slices ---- */

static void finish(struct task *task);

/* Whether the error on top of co's stack is what the cancellation raised: the reason, or what a
 * wait made of it. */
static bool is_cancellation(struct task *task)
{
    lua_State *co = task->co;
    int err = lua_gettop(co);
    if (!task->root.is_cancelled)
        return false;
    lua_rawgeti(co, LUA_REGISTRYINDEX, task->root.reason_ref);
    bool is_same = lua_rawequal(co, err, err + 1) != 0;
    if (!is_same && lua_istable(co, err)) {
        lua_pushliteral(co, "reason");
        lua_rawget(co, err);
        lua_pushliteral(co, "code");
        lua_rawget(co, err);
        is_same = lua_rawequal(co, err + 1, err + 2) != 0 ||
                  (lua_type(co, err + 3) == LUA_TSTRING &&
                   strcmp(lua_tostring(co, err + 3), "cancelled") == 0);
    }
    lua_settop(co, err);
    return is_same;
}

static void end_unstarted(struct task *task)
{
    lua_settop(task->co, 0);
    task_push_reason(task->vm->L, task);
    lua_xmove(task->vm->L, task->co, 1);
    task->end_status = TASK_CANCELLED;
    finish(task);
}

/* What Lua still uses is found by the collector; what C only believes to be used is gone then. All
 * of it is looked at now and then only: with a large heap it takes long, and what goes wrong does
 * so early or does so again. */
static void collect_under_stress(struct vm *vm)
{
#ifdef STRESS
    enum { SMALL_KB = 2048, EARLY = 10000, EVERY = 8, EVERY_LATER = 64, EVERY_OF_LARGE = 500 };
    bool is_small = lua_gc(vm->L, LUA_GCCOUNT, 0) < SMALL_KB;
    unsigned every = vm->slices->count < EARLY ? EVERY : EVERY_LATER;
    if (vm->slices->count % (is_small ? every : EVERY_OF_LARGE) == 0)
        lua_gc(vm->L, LUA_GCCOLLECT, 0);
#else
    (void)vm;
#endif
}

static void slice(struct task *task)
{
    struct vm *vm = task->vm;
    int nargs = task->nargs;
    ENSURE(vm->current == NULL);
    if (!task->is_started && task->scope->is_cancelled) {
        end_unstarted(task);
        return;
    }
    vm->current = task;
    task->status = TASK_RUNNING;
    task->nargs = 0;
    task->is_started = true;
    collect_under_stress(vm);
    vm_slice_begins(vm, task->route);
    const void *bottom = vm->memory.bottom;
    bool before = lua_memory_begin(&vm->memory, __builtin_frame_address(0));
    int status = lua_resume(task->co, nargs);
    lua_memory_end(&vm->memory, before, bottom);
    if (vm_slice_ends(vm))
        status = watchdog_after_slice(vm, task->co, status);
    vm->current = NULL;
    if (status == LUA_YIELD && task->status == TASK_READY)
        return; /* its wait ended before it had yielded: what it gets is on its stack */
    if (status == LUA_YIELD && task->op != NULL) {
        task->status = TASK_WAITING;
        lua_settop(task->co, 0);
        return;
    }
    if (status == LUA_YIELD) { /* by hand, with nobody to resume it */
        lua_settop(task->co, 0);
        vm_push_error(vm->L, "misuse", "coroutine.yield outside of a coroutine");
        lua_xmove(vm->L, task->co, 1);
    } else if (task->op != NULL) { /* interrupted between the start of a wait and its yield */
        op_end(task->op);
    }
    task->end_status = status == 0             ? TASK_DONE
                       : is_cancellation(task) ? TASK_CANCELLED
                                               : TASK_FAILED;
    bool is_out = status == LUA_ERRMEM;
    if (is_out)
        lua_gc(vm->L, LUA_GCSTOP, 0); /* a step of it may raise, which nobody would catch here */
    finish(task);
    if (is_out)
        vm_recover_memory(vm); /* what it held is garbage now */
}

static void run_ready(struct vm *vm);

static void on_next_turn(struct timer *timer)
{
    run_ready(LIST_ENTRY(timer, struct vm, ready_timer));
}

void tasks_run_soon(struct vm *vm)
{
    if (!link_is_alone(&vm->ready) && vm->current == NULL && !vm->is_running_ready &&
        !timer_is_running(&vm->ready_timer))
        timer_start(vm->loop, &vm->ready_timer, 0, on_next_turn);
}

/* First come, first served; any of them when a spec explores orders. */
static struct link *pick_ready(struct vm *vm)
{
    struct link *picked = vm->ready.next;
    uint64_t count = 1;
    if (vm->shuffle == 0)
        return picked;
    for (struct link *at = picked->next; at != &vm->ready; at = at->next)
        count++;
    vm->shuffle ^= vm->shuffle << 13; /* xorshift64 */
    vm->shuffle ^= vm->shuffle >> 7;
    vm->shuffle ^= vm->shuffle << 17;
    for (uint64_t skip = (vm->shuffle >> 32) % count; skip > 0; skip--)
        picked = picked->next;
    return picked;
}

static void run_ready(struct vm *vm)
{
    if (vm->is_running_ready || vm->current != NULL)
        return;
    vm->is_running_ready = true;
    vm->slices_left = SLICES_PER_TURN;
    while (!link_is_alone(&vm->ready) && vm->slices_left > 0) {
        vm->slices_left--;
        struct task *task = LIST_ENTRY(pick_ready(vm), struct task, ready);
        link_remove(&task->ready);
        slice(task);
    }
    vm->is_running_ready = false;
    tasks_run_soon(vm);
}

void task_make_ready(struct task *task, int nargs)
{
    struct vm *vm = task->vm;
    task->nargs = nargs;
    task->status = TASK_READY;
    if (vm->current != NULL || vm->is_running_ready || vm->shuffle != 0) {
        link_append(&vm->ready, &task->ready);
        tasks_run_soon(vm);
        return;
    }
    vm->is_running_ready = true;
    vm->slices_left = SLICES_PER_TURN;
    slice(task);
    vm->is_running_ready = false;
    if (!link_is_alone(&vm->ready))
        run_ready(vm);
}

void task_start(struct task *task, int nargs)
{
    task_make_ready(task, nargs);
}

/* The first that is ready, unless it is one below on the C stack. */
static struct task *next_nested(struct vm *vm)
{
    struct task *next = LIST_ENTRY(vm->ready.next, struct task, ready);
    return link_is_alone(&vm->ready) || vm->slices_left == 0 || next->is_nesting ? NULL : next;
}

/* Runs others while the running task waits and has not yielded. */
static void run_nested(struct vm *vm, struct task *task)
{
    struct task *next;
    task->status = TASK_WAITING;
    task->is_nesting = true;
    vm->current = NULL;
    vm->nesting++;
    while (task->status == TASK_WAITING && (next = next_nested(vm)) != NULL) {
        vm->slices_left--;
        link_remove(&next->ready);
        slice(next);
    }
    vm->nesting--;
    task->is_nesting = false;
    vm->current = task;
    vm_slice_begins(vm, task->route);
}

int task_wait_for_tasks(lua_State *L, struct op *op)
{
    struct vm *vm = VM_UPVALUE(L);
    struct task *task = vm->current;
    /* A slice that held the loop for long is looked at when it yields. */
    if (L != task->co || vm->shuffle != 0 || vm->nesting == NESTING_MAX ||
        next_nested(vm) == NULL || vm_slice_ends(vm))
        return task_wait(L, op);
    op_begin(op, task, L);
    lua_memory_set(&vm->memory, false);
    run_nested(vm, task);
    lua_memory_set(&vm->memory, true);
    if (task->status != TASK_READY)
        return lua_yield(L, 0);
    if (vm->ready.next != &task->ready)
        return lua_yield(L, task->nargs); /* it is not its turn yet */
    link_remove(&task->ready);
    task->status = TASK_RUNNING;
    int nresults = task->nargs;
    task->nargs = 0;
    return nresults;
}

/* ---- the end ---- */

/* Answers the task whose end waited for this one only. */
static struct task *leave_home(struct task *task)
{
    struct scope *home = task->home;
    if (home == NULL)
        return NULL;
    link_remove(&task->link);
    task->home = NULL;
    if (--home->ntasks != 0)
        return NULL;
    if (home->join != NULL) {
        struct op *join = home->join;
        lua_pushboolean(op_state(join), true);
        op_complete(join, 1);
        return NULL;
    }
    return home == &home->owner->root && home->owner->status == TASK_ENDING ? home->owner : NULL;
}

static void function_ended(struct task *task)
{
    lua_State *L = task->vm->L;
    task->status = TASK_ENDING;
    while (task->scope != &task->root) /* entered and not left: an error, or a lost coroutine */
        scope_give_up(task->scope);
    if (!link_is_alone(&task->mutexes))
        mutexes_give_up(task);
    failures_tell(task);
    if (task->owner != NULL)
        task->owner->on_end(task, task->end_status);
    if (task->root.ntasks != 0 && !task->root.is_cancelled) {
        vm_push_error(L, "cancelled", "the task that spawned this one has ended");
        scope_cancel(&task->root, L);
    }
}

/* The function has ended; so have the children when this goes on. Ends those above that waited for
 * it: a loop, as trees of tasks can be deeper than the C stack. */
static void finish(struct task *task)
{
    ENSURE(task->vm->is_running_ready); /* waits that end here are only queued */
    if (task->status != TASK_ENDING)
        function_ended(task);
    while (task != NULL && task->root.ntasks == 0) {
        task_end_handle(task);
        scope_deinit(&task->root);
        task->status = task->end_status;
        struct task *above = leave_home(task);
        task_recycle(task);
        task = above;
    }
}

/* ---- all of them ---- */

void task_cancel(struct task *task, lua_State *L)
{
    scope_cancel(&task->root, L);
}

void tasks_cancel_all(struct vm *vm, const char *code, const char *message)
{
    for (struct link *at = vm->alive.next; at != &vm->alive; at = at->next) {
        struct task *task = LIST_ENTRY(at, struct task, alive);
        vm_push_error(vm->L, code, "%s", message);
        scope_cancel(&task->root, vm->L);
    }
    for (int i = 0; i < CANCEL_ROUNDS && !link_is_alone(&vm->ready); i++)
        run_ready(vm);
}

static void kill_scopes(struct task *task)
{
    while (task->scope != &task->root) {
        struct scope *scope = task->scope;
        task->scope = scope->parent;
        scope_deinit(scope);
        free(scope);
    }
    scope_deinit(&task->root);
}

void tasks_kill_all(struct vm *vm)
{
    lua_State *L = vm->L;
    for (struct link *at = vm->alive.next; at != &vm->alive; at = at->next) {
        struct task *task = LIST_ENTRY(at, struct task, alive);
        link_remove(&task->ready);
        if (task->op != NULL)
            op_end(task->op);
        mutexes_forget(task);
        if (task->handle_ref != LUA_NOREF) {
            lua_rawgeti(L, LUA_REGISTRYINDEX, task->handle_ref);
            lua_pushnil(L);
            lua_rawseti(L, -2, 0);
            lua_pop(L, 1);
        }
    }
    /* Scopes of one task are listed in those of another: all lists are undone before any memory
     * goes. */
    for (struct link *at = vm->alive.next; at != &vm->alive; at = at->next) {
        struct task *task = LIST_ENTRY(at, struct task, alive);
        link_init(&task->root.link);
        for (struct scope *scope = task->scope; scope != &task->root; scope = scope->parent)
            link_init(&scope->link);
    }
    for (struct link *at = vm->alive.next; at != &vm->alive; at = at->next)
        kill_scopes(LIST_ENTRY(at, struct task, alive));
    for (struct link *first; (first = link_take_first(&vm->alive)) != NULL;) {
        free(LIST_ENTRY(first, struct task, alive));
        vm->ntasks--;
    }
}
