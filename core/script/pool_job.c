/*
 * A job has two sides here. Its caller waits in a struct job_op until it has ended. What it sends
 * ahead is kept in a struct job_box, which Lua holds: a bounded list, and the task that waits for
 * the next message. Both may go before the job does.
 */
#include "script/pool_job.h"

#include "base/mem.h"
#include "loop/offload.h"
#include "script/lib_offload.h"
#include "script/task.h"
#include "script/worker_vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define JOB_NAME "moonloop.core.job"

struct job_op {
    struct op op;
    struct offload *pool;   /* a user of it */
    struct worker_job *job; /* NULL: it has come back */
};

struct job_box {
    struct worker_job *job; /* NULL: not sent yet, or nobody waits for it any more */
    struct link messages;
    uint32_t nmessages;
    uint32_t limit; /* of messages */
    uint64_t ndropped;
    struct reader_op *reader; /* waits for the next message; NULL: nobody does */
    bool is_over;             /* no message will come */
};

struct reader_op {
    struct op op;
    struct job_box *box;
};

/* ---- messages ahead ---- */

static struct job_box *check_box(lua_State *L, int index)
{
    return luaL_checkudata(L, index, JOB_NAME);
}

/* job(limit): for submit, which then keeps up to `limit` messages */
int l_job_new(lua_State *L)
{
    uint32_t limit = (uint32_t)luaL_checkinteger(L, 1);
    struct job_box *box = lua_newuserdata(L, sizeof(*box));
    *box = (struct job_box){.limit = limit};
    link_init(&box->messages);
    luaL_getmetatable(L, JOB_NAME);
    lua_setmetatable(L, -2);
    return 1;
}

static int l_box_gc(lua_State *L)
{
    struct job_box *box = lua_touserdata(L, 1);
    parcels_free(&box->messages);
    if (box->job != NULL)
        box->job->box = NULL;
    return 0;
}

static struct parcel *take_message(struct job_box *box)
{
    if (link_is_alone(&box->messages))
        return NULL;
    struct parcel *parcel = LIST_ENTRY(box->messages.next, struct parcel, link);
    link_remove(&parcel->link);
    box->nmessages--;
    return parcel;
}

static void reader_release(struct op *op)
{
    struct reader_op *reader = (struct reader_op *)op;
    reader->box->reader = NULL;
    free(reader);
}

/* true, message, parts; or true alone when there will be none. */
static int push_next(lua_State *L, struct parcel *parcel)
{
    lua_pushboolean(L, true);
    if (parcel == NULL)
        return 1;
    parcel_push(parcel, L);
    parcel_free(parcel);
    return 3;
}

/* Resumes the reader when there is something for it: the box may be gone afterwards. */
static void feed_reader(struct job_box *box)
{
    struct reader_op *reader = box->reader;
    if (reader == NULL || (link_is_alone(&box->messages) && !box->is_over))
        return;
    op_complete(&reader->op, push_next(op_state(&reader->op), take_message(box)));
}

static void keep(struct job_box *box, struct parcel *parcel)
{
    if (box->nmessages >= box->limit) {
        parcel_free(take_message(box));
        box->ndropped++;
    }
    link_append(&box->messages, &parcel->link);
    box->nmessages++;
}

static void on_post(struct offload_job *base, struct link *messages, uint32_t ndropped)
{
    struct job_box *box = ((struct worker_job *)base)->box;
    if (box == NULL) {
        parcels_free(messages);
        return;
    }
    box->ndropped += ndropped;
    for (struct link *first; (first = link_take_first(messages)) != NULL;) {
        struct parcel *parcel = LIST_ENTRY(first, struct parcel, link);
        keep(box, parcel);
    }
    feed_reader(box);
}

/* keep(job, message, parts): a message that did not come from elsewhere */
int l_job_keep(lua_State *L)
{
    struct job_box *box = check_box(L, 1);
    struct parcel *parcel = parcel_read(L, 2);
    if (parcel == NULL) {
        vm_push_error(L, "system", "not enough memory for a message");
        return lua_error(L);
    }
    if (box->is_over) {
        parcel_free(parcel);
        return 0;
    }
    keep(box, parcel);
    feed_reader(box);
    return 0;
}

/* next(job): true, message, parts; or true alone when there will be none. Waits. Raises `misuse`
 * when another task waits for it. */
int l_job_next(lua_State *L)
{
    task_check(L);
    struct job_box *box = check_box(L, 1);
    if (box->reader != NULL) {
        vm_push_error(L, "misuse", "another task reads the progress of this job already");
        return lua_error(L);
    }
    if (!link_is_alone(&box->messages) || box->is_over)
        return task_goes_on(L, push_next(L, take_message(box)));
    struct reader_op *reader = MEM_NEW(struct reader_op);
    reader->op.release = reader_release;
    reader->box = box;
    box->reader = reader;
    return task_wait(L, &reader->op);
}

/* finish(job): nothing more comes after what is there */
int l_job_end(lua_State *L)
{
    struct job_box *box = check_box(L, 1);
    box->is_over = true;
    feed_reader(box);
    return 0;
}

/* dropped(job): how many messages made room for later ones */
int l_job_dropped(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)check_box(L, 1)->ndropped);
    return 1;
}

/* ---- the job ---- */

static void forget_box(struct worker_job *job)
{
    if (job->box != NULL)
        job->box->job = NULL;
    job->box = NULL;
}

static void release(struct op *op)
{
    struct job_op *wait = (struct job_op *)op;
    struct worker_job *job = wait->job;
    if (job != NULL) {
        job->waiting = NULL;
        forget_box(job);
        if (offload_cancel(&job->base))
            worker_job_free(job);
    }
    offload_unref(wait->pool);
    free(wait);
}

/* true, is_ok, message, parts; or true, false, code, why. */
static int push_end(lua_State *L, const struct worker_job *job)
{
    lua_pushboolean(L, true);
    lua_pushboolean(L, job->base.outcome == OFFLOAD_GOOD && job->result != NULL);
    if (job->result != NULL) {
        parcel_push(job->result, L);
        return 4;
    }
    lua_pushstring(L, job->code != NULL ? job->code : "system");
    lua_pushstring(L, job->why != NULL ? job->why : "the job gave no result");
    lua_pushboolean(L, true); /* these two are no message */
    return 5;
}

static void on_done(struct offload_job *base)
{
    struct worker_job *job = (struct worker_job *)base;
    struct job_op *wait = job->waiting;
    int nresults = 0;
    forget_box(job);
    if (wait != NULL) {
        wait->job = NULL;
        nresults = push_end(op_state(&wait->op), job);
    }
    worker_job_free(job);
    if (wait != NULL)
        op_complete(&wait->op, nresults);
}

static int raise_not_sent(lua_State *L, struct offload *pool, int status)
{
    struct offload_stats stats = offload_stats(pool);
    if (status == -EAGAIN)
        vm_push_error(L, "full", "%d jobs wait for a %s of pool %s already, %d run",
                      (int)stats.waiting, offload_kind_of(pool)->name,
                      *offload_name(pool) != '\0' ? offload_name(pool) : "without a name",
                      (int)stats.busy);
    else
        vm_push_error(L, "system", "cannot start an offload thread: %s", strerror(-status));
    return lua_error(L);
}

/* submit(pool, job or nil, label, message, parts): true, and how it ended; waits. Raises `full`,
 * `closed`, `system`. */
int l_job_submit(lua_State *L)
{
    struct vm *vm = task_check(L);
    struct offload *pool = pool_check(L, 1);
    struct job_box *box = lua_isnil(L, 2) ? NULL : check_box(L, 2);
    const char *label = luaL_checkstring(L, 3);
    struct offload_origin *origin = vm_offload_origin(L, vm);
    struct parcel *payload = parcel_read(L, 4);
    if (payload == NULL) {
        vm_push_error(L, "system", "not enough memory for the arguments of a job");
        return lua_error(L);
    }
    struct worker_job *job = worker_job_new(origin, payload, label);
    job->base.on_done = on_done;
    job->base.on_post = on_post;
    log_context_read(vm, &job->context);
    if (box != NULL) {
        job->max_posted = box->limit;
        job->box = box;
        box->job = job;
    }
    int status = offload_submit(pool, &job->base);
    if (status != 0) {
        forget_box(job);
        worker_job_free(job);
        return raise_not_sent(L, pool, status);
    }
    struct job_op *wait = MEM_NEW(struct job_op);
    wait->op.release = release;
    wait->pool = offload_ref(pool);
    wait->job = job;
    job->waiting = wait;
    return task_wait(L, &wait->op);
}

void pool_job_prepare(lua_State *L)
{
    luaL_newmetatable(L, JOB_NAME);
    lua_pushcfunction(L, l_box_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
