/*
 * The search for rings of waits: a task that waits for another, for the children of a scope, or for
 * a mutex that another holds, waits for what that one waits for.
 */
#include "script/task.h"

enum {
    RING_STEPS = 10000, /* a ring that is longer goes unseen */
    RING_NAMES = 8,     /* shown */
    RING_DEPTH = 64,    /* of scopes with several tasks */
};

struct ring {
    struct task *waiter;
    int nsteps;
    struct task *path[RING_NAMES];
    const char
        *through[RING_NAMES]; /* what it holds that the one before waits for; NULL: its end */
    int npath;                /* also counts those that found no place in path */
};

static bool reaches(struct ring *ring, struct task *from, const char *through);

static bool reaches_child(struct ring *ring, const struct scope *scope)
{
    for (struct link *at = scope->tasks.next; at != &scope->tasks; at = at->next)
        if (reaches(ring, LIST_ENTRY(at, struct task, link), NULL))
            return true;
    return false;
}

/* The one queue that it waits in, if it waits in one. */
static struct wait_queue *queue_of(const struct task *task)
{
    return task->op == &task->own.op ? task->own.waiter.queue : NULL;
}

static bool reaches(struct ring *ring, struct task *from, const char *through)
{
    int depth = ring->npath;
    for (struct task *at = from; at != NULL && ++ring->nsteps < RING_STEPS;) {
        if (ring->npath < RING_NAMES) {
            ring->path[ring->npath] = at;
            ring->through[ring->npath] = through;
        }
        ring->npath++;
        if (at == ring->waiter)
            return true;
        const struct scope *joined = at->status == TASK_ENDING ? &at->root
                                     : at->op == &at->own.op   ? at->own.joined
                                                               : NULL;
        if (joined != NULL) {
            /* Recursion only where several are waited for: bounded, as each level has one such. */
            if (ring->npath < RING_DEPTH && reaches_child(ring, joined))
                return true;
            break;
        }
        const struct wait_queue *queue = queue_of(at);
        at = queue != NULL ? queue->owner : NULL;
        through = queue != NULL ? queue->name : NULL;
    }
    ring->npath = depth;
    return false;
}

static void push_held(lua_State *L, const char *through)
{
    if (through != NULL)
        lua_pushfstring(L, "the %s, held by ", through);
    else
        lua_pushliteral(L, "");
}

static void push_ring(lua_State *L, const struct ring *ring)
{
    task_push_name(L, ring->waiter);
    for (int i = 0; i < ring->npath && i < RING_NAMES; i++) {
        lua_pushstring(L, i == 0 ? " waits for " : ", which waits for ");
        push_held(L, ring->through[i]);
        task_push_name(L, ring->path[i]);
        lua_concat(L, 4);
    }
    if (ring->npath > RING_NAMES) {
        lua_pushliteral(L, ", and so on");
        lua_concat(L, 2);
    }
}

static bool is_under(const struct task *waiter, const struct task *awaited)
{
    int steps = 0;
    for (const struct scope *at = &waiter->root; at != NULL && steps < RING_STEPS;
         at = at->parent, steps++)
        if (at->owner == awaited)
            return true;
    return false;
}

bool task_is_ring(lua_State *L, struct task *waiter, struct task *awaited)
{
    struct ring ring = {.waiter = waiter};
    if (awaited == waiter) {
        task_push_name(L, waiter);
        lua_pushliteral(L, " waits for itself");
        lua_concat(L, 2);
        return true;
    }
    if (is_under(waiter, awaited)) {
        task_push_name(L, waiter);
        lua_pushliteral(L, " waits for ");
        task_push_name(L, awaited);
        lua_pushliteral(L, ", which it runs under and which waits for it in the end");
        lua_concat(L, 4);
        return true;
    }
    if (!reaches(&ring, awaited, NULL))
        return false;
    push_ring(L, &ring);
    return true;
}

bool task_is_queue_ring(lua_State *L, struct task *waiter, const struct wait_queue *queue)
{
    struct ring ring = {.waiter = waiter};
    if (queue->owner == NULL || !reaches(&ring, queue->owner, queue->name))
        return false;
    push_ring(L, &ring);
    return true;
}

bool task_is_join_ring(lua_State *L, const struct scope *scope)
{
    struct ring ring = {.waiter = scope->owner};
    if (!reaches_child(&ring, scope))
        return false;
    push_ring(L, &ring);
    return true;
}
