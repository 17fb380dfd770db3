#include "script/lib_topic.h"

#include "base/mem.h"
#include "script/process_child.h"
#include "script/subscription.h"
#include "script/topics.h"
#include "script/worker_vm.h"

#include <errno.h>

#define SUBSCRIPTION_NAME "moonloop.core.subscription"

static struct str check_str(lua_State *L, int index)
{
    struct str text;
    text.ptr = luaL_checklstring(L, index, &text.len);
    return text;
}

/* ---- publishing ---- */

static int raise_too_large(lua_State *L, struct str bytes, uint64_t limit)
{
    vm_push_error(L, "too_large", "the message takes %f bytes; at most %f can be published",
                  (lua_Number)bytes.len, (lua_Number)limit);
    return lua_error(L);
}

/* From a thread beside the loop: subscribers of this worker get it the same way as others. From a
 * process of a pool by way of that which sent the job. */
static int publish_from_job(lua_State *L, const struct worker_origin *origin, struct str name,
                            struct str bytes)
{
    struct mailbox_post *post = origin->post;
    if (origin->max_published != 0) {
        if (bytes.len > origin->max_published)
            return raise_too_large(L, bytes, origin->max_published);
        process_child_publish(origin->child, name, bytes);
        return 0;
    }
    if (post == NULL) {
        vm_push_error(L, "misuse",
                      "from here no topic can be reached: publish what this gives "
                      "back where it is waited for");
        return lua_error(L);
    }
    if (mailbox_send(post, name, bytes, MAILBOX_ALL) != 0)
        return raise_too_large(L, bytes, mailbox_max_bytes(post));
    return 0;
}

/* publish(topic, bytes). Raises `too_large`. */
static int l_publish(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    struct str name = check_str(L, 1), bytes = check_str(L, 2);
    if (vm->worker != NULL) {
        return publish_from_job(L, offload_origin_data(worker_vm_origin(vm->worker)), name, bytes);
    }
    struct topics *topics = topics_of(vm);
    if (bytes.len > topics_max_bytes(topics))
        return raise_too_large(L, bytes, topics_max_bytes(topics));
    topics_publish(topics, vm, name, bytes);
    return 0;
}

/* ---- subscribing ---- */

static struct subscription *check_subscription(lua_State *L)
{
    return luaL_checkudata(L, 1, SUBSCRIPTION_NAME);
}

static void on_scope_end(struct scope_holding *holding)
{
    topics_unsubscribe(LIST_ENTRY(holding, struct subscription, holding));
}

/* subscribe(topic, queue, limit, limit_bytes, overflow): of the running task's innermost scope.
 * `queue`: a moonloop.core.wait_queue, of those who wait for a message. Raises `misuse`. */
static int l_subscribe(lua_State *L)
{
    static const char *const overflows[] = {"drop_oldest", "drop_newest", "close", NULL};
    struct vm *vm = VM_UPVALUE(L);
    struct str name = check_str(L, 1);
    struct wait_queue *queue = wait_queue_check(L, 2);
    uint32_t limit = (uint32_t)luaL_checknumber(L, 3);
    uint64_t limit_bytes = (uint64_t)luaL_checknumber(L, 4);
    int overflow = luaL_checkoption(L, 5, NULL, overflows);
    if (vm->worker != NULL) {
        vm_push_error(L, "misuse",
                      "an offloaded function can publish, but not subscribe: subscribe "
                      "in the handler and offload the work on each message");
        return lua_error(L);
    }
    if (vm->current == NULL) {
        vm_push_error(L, "misuse",
                      "a subscription needs a running task to belong to: subscribe in "
                      "a handler, or in the task of app:background");
        return lua_error(L);
    }
    struct subscription *subscription = lua_newuserdata(L, sizeof(*subscription));
    *subscription = (struct subscription){
        .vm = vm,
        .queue = queue,
        .overflow = (enum overflow)overflow,
        .limit = limit,
        .limit_bytes = limit_bytes,
        .holding = {.on_scope_end = on_scope_end},
    };
    link_init(&subscription->link);
    link_init(&subscription->wake);
    link_init(&subscription->holding.link);
    luaL_getmetatable(L, SUBSCRIPTION_NAME);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 2);
    subscription->queue_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    topics_subscribe(topics_of(vm), subscription, name);
    scope_hold(vm->current->scope, &subscription->holding);
    return 1;
}

static int l_subscription_gc(lua_State *L)
{
    struct subscription *subscription = lua_touserdata(L, 1);
    topics_unsubscribe(subscription);
    subscription_empty(subscription);
    luaL_unref(L, LUA_REGISTRYINDEX, subscription->queue_ref);
    subscription->queue_ref = LUA_NOREF;
    return 0;
}

/* take(subscription): the first message as bytes, or as { bytes, how many were lost before it };
 * nil when there is none */
static int l_take(lua_State *L)
{
    return subscription_take(check_subscription(L), L) ? 1 : 0;
}

/* close(subscription): harmless when it is closed */
static int l_close(lua_State *L)
{
    topics_unsubscribe(check_subscription(L));
    return 0;
}

/* state(subscription): "open", "closed" or "overrun" */
static int l_state(lua_State *L)
{
    const struct subscription *subscription = check_subscription(L);
    lua_pushstring(L, subscription->is_overrun      ? "overrun"
                      : subscription->topic != NULL ? "open"
                                                    : "closed");
    return 1;
}

/* counts(subscription): how many messages it holds, has lost, has given out */
static int l_counts(lua_State *L)
{
    const struct subscription *subscription = check_subscription(L);
    lua_pushnumber(L, subscription->count);
    lua_pushnumber(L, (lua_Number)subscription->total_lost);
    lua_pushnumber(L, (lua_Number)subscription->nreceived);
    return 3;
}

static void set_number(lua_State *L, const char *name, lua_Number value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

/* list(): { topic =, queued =, limit =, lost =, received =, waiting = } for each of this VM */
static int l_list(lua_State *L)
{
    struct vm *vm = VM_UPVALUE(L);
    int count = 0;
    lua_newtable(L);
    if (vm->topics == NULL)
        return 1;
    for (struct subscription *at = NULL; (at = topics_next(vm->topics, at)) != NULL;) {
        if (at->vm != vm)
            continue;
        lua_createtable(L, 0, 6);
        lua_pushlstring(L, at->topic->name.ptr, at->topic->name.len);
        lua_setfield(L, -2, "topic");
        set_number(L, "queued", at->count);
        set_number(L, "limit", at->limit);
        set_number(L, "lost", (lua_Number)at->total_lost);
        set_number(L, "received", (lua_Number)at->nreceived);
        set_number(L, "waiting", at->queue->length);
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

int luaopen_moonloop_core_topic(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"publish", l_publish}, {"subscribe", l_subscribe}, {"take", l_take}, {"close", l_close},
        {"state", l_state},     {"counts", l_counts},       {"list", l_list}, {NULL, NULL}};
    luaL_newmetatable(L, SUBSCRIPTION_NAME);
    lua_pushcfunction(L, l_subscription_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    vm_library(L, functions);
    return 1;
}
