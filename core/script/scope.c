/*
 * Scopes: entered and left by the task that owns them, cancelled by anyone. No function here runs
 * Lua code of a user's: cancelling queues the tasks that it reaches.
 *
 * A coroutine of the user's own may enter a scope and never be resumed, so scopes are not always
 * left in order. Whoever leaves an outer one gives up those inside it.
 */
#include "script/task_parts.h"

#include "base/mem.h"

#include <stdlib.h>

void scope_init(struct scope *scope, struct task *owner, struct scope *parent)
{
    *scope = (struct scope){
        .owner = owner, .parent = parent, .reason_ref = LUA_NOREF, .failure_ref = LUA_NOREF};
    link_init(&scope->link);
    link_init(&scope->scopes);
    link_init(&scope->tasks);
    link_init(&scope->holdings);
    if (parent != NULL)
        link_append(&parent->scopes, &scope->link);
}

void scope_hold(struct scope *scope, struct scope_holding *holding)
{
    link_init(&holding->link);
    link_append(&scope->holdings, &holding->link);
}

static void forget_reasons(struct scope *scope, lua_State *L)
{
    if (scope->reason_ref != LUA_NOREF)
        luaL_unref(L, LUA_REGISTRYINDEX, scope->reason_ref);
    if (scope->failure_ref != LUA_NOREF)
        luaL_unref(L, LUA_REGISTRYINDEX, scope->failure_ref);
    scope->reason_ref = scope->failure_ref = LUA_NOREF;
}

void scope_deinit(struct scope *scope)
{
    struct vm *vm = scope->owner->vm;
    for (struct link *first; (first = link_take_first(&scope->holdings)) != NULL;) {
        struct scope_holding *holding = LIST_ENTRY(first, struct scope_holding, link);
        holding->on_scope_end(holding);
    }
    if (timer_is_running(&scope->deadline))
        timer_stop(vm->loop, &scope->deadline);
    forget_reasons(scope, vm->L);
    link_remove(&scope->link);
    if (scope->box == NULL)
        return;
    vm_forget(vm, scope->box);
    scope->box->scope = NULL;
    scope->box = NULL;
    luaL_unref(vm->L, LUA_REGISTRYINDEX, scope->box_ref);
}

/* ---- cancelling ---- */

static void mark(struct scope *scope, lua_State *L)
{
    scope->is_cancelled = true;
    lua_pushvalue(L, -1);
    scope->reason_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (scope->owner->scope == scope)
        task_interrupt(scope->owner, L);
}

/* A walk without recursion: trees of tasks can be deeper than the C stack. */
static void spread(struct scope *top, lua_State *L)
{
    struct scope *at = top;
    struct link *next = at->scopes.next;
    mark(top, L);
    for (;;) {
        if (next == &at->scopes) {
            if (at == top)
                return;
            next = at->link.next;
            at = at->parent;
            continue;
        }
        struct scope *inner = LIST_ENTRY(next, struct scope, link);
        next = next->next;
        if (inner->is_shield || inner->is_cancelled)
            continue;
        mark(inner, L);
        at = inner;
        next = inner->scopes.next;
    }
}

void scope_cancel(struct scope *scope, lua_State *L)
{
    if (!scope->is_cancelled)
        spread(scope, L);
    lua_pop(L, 1);
    tasks_run_soon(scope->owner->vm);
}

static void on_deadline(struct timer *timer)
{
    struct scope *scope = LIST_ENTRY(timer, struct scope, deadline);
    lua_State *L = scope->owner->vm->L;
    const struct scope_box *box = scope->box;
    if (box != NULL)
        vm_push_error(L, "timeout", "the deadline of %f s has passed",
                      (double)box->deadline_us / 1e6);
    else
        vm_push_error(L, "timeout", "the deadline has passed");
    if (box != NULL && box->site[0] != '\0') {
        lua_pushfstring(L, "%s:%d", box->site, box->site_line);
        lua_setfield(L, -2, "cancelled_at");
    }
    scope_cancel(scope, L);
}

/* ---- entering, leaving ---- */

struct scope *scope_enter(struct task *task, int64_t deadline_us, bool fails_fast, bool is_shield)
{
    struct scope *scope = MEM_NEW(struct scope), *outer = task->scope;
    lua_State *L = task->vm->L;
    scope_init(scope, task, outer);
    scope->fails_fast = fails_fast;
    scope->is_shield = is_shield;
    task->scope = scope;
    if (outer->is_cancelled && !is_shield) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, outer->reason_ref);
        scope_cancel(scope, L);
    }
    if (deadline_us >= 0)
        timer_start_us(task->vm->loop, &scope->deadline, (uint64_t)deadline_us, on_deadline);
    return scope;
}

/* The innermost scope of a task goes; its children get the next one for a home. */
static void give_up_innermost(struct task *task)
{
    struct scope *scope = task->scope, *heir = scope->parent;
    lua_State *L = task->vm->L;
    ENSURE(scope != &task->root && scope->join == NULL);
    if (scope->ntasks != 0) {
        vm_push_error(L, "cancelled", "the scope that this task was spawned in was not left well");
        scope_cancel(scope, L);
    }
    for (struct link *first; (first = link_take_first(&scope->tasks)) != NULL;) {
        struct task *child = LIST_ENTRY(first, struct task, link);
        link_append(&heir->tasks, &child->link);
        link_remove(&child->root.link);
        link_append(&heir->scopes, &child->root.link);
        child->home = child->root.parent = heir;
        scope->ntasks--;
        heir->ntasks++;
    }
    task->scope = heir;
    scope_deinit(scope);
    free(scope);
}

void scope_give_up_inner(struct scope *scope)
{
    while (scope->owner->scope != scope)
        give_up_innermost(scope->owner);
}

void scope_give_up(struct scope *scope)
{
    scope_give_up_inner(scope);
    give_up_innermost(scope->owner);
}

void scope_leave(struct scope *scope)
{
    scope_give_up_inner(scope);
    ENSURE(scope->ntasks == 0);
    give_up_innermost(scope->owner);
}
