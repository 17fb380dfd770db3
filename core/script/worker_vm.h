/*
 * worker_vm.h - what runs jobs: a loop and a VM of its own, so that every primitive works there
 * too; and the jobs.
 *
 * Made, used and freed on one thread, except worker_vm_kind.wake. The VM is kept from job to job
 * while they come from the same origin (modules stay loaded, compiled code stays compiled), and
 * made anew for another one, or after an error that left it in doubt.
 *
 * A pool thread runs jobs so, and a child process may: worker_vm_kind's four functions do not ask
 * which pool they serve. See process_vm.h.
 */
#pragma once

#include "base/fault.h"
#include "loop/offload.h"
#include "script/log_context.h"
#include "script/parcel.h"

#include <stdbool.h>
#include <stdint.h>

struct job_op;
struct job_box;
struct process_child;
struct mailbox_post;
struct snapshot;
struct vm;
struct worker_vm;

/* What VMs on threads are made from: the data of a struct offload_origin. Immutable. */
struct worker_origin {
    char *lua_dir;
    char *apps_dir;            /* NULL outside a server */
    struct snapshot *snapshot; /* a mapping of its own; NULL outside a server */
    uint64_t generation;
    struct process_child *child; /* asks for blobs in another process; NULL: they are here */
    bool in_process;             /* in a process of a pool, on whichever thread */
    struct mailbox_post *post;   /* for what threads publish; NULL: none */
    uint32_t max_published;      /* of `child`: how long a message may be; 0: there is no way */
};

struct worker_job {
    struct offload_job base; /* first, so that it can be cast */
    struct offload_origin *origin;
    struct log_context context; /* of the caller */
    struct parcel *payload;     /* what to do; taken by whoever runs it */

    /* What came of it, set by whoever runs it before that returns. */
    struct parcel *result; /* the values, or with base.outcome OFFLOAD_FAILED the error */
    const char *code;      /* without a result: why, for an error object; a literal */
    char *why;             /* the rest of it: a sentence */

    /* Messages ahead of the end (moonloop.progress), on the thread that runs it. Takes the message.
     * At most max_posted wait for the caller, older ones make room; 0: nobody wants any. */
    void (*post)(struct worker_job *job, struct parcel *parcel);
    uint32_t max_posted;
    /* On the thread that runs it, when it has learnt that it is cancelled; NULL: nobody asks. */
    void (*on_cancelling)(struct worker_job *job);

    struct job_op
        *waiting;        /* the caller; NULL: it does not wait any more. The loop's thread only */
    struct job_box *box; /* where messages go; NULL: nowhere. The loop's thread only */
};

extern const struct offload_kind worker_vm_kind;

/* The origin of jobs that `vm` sends. NULL with the reason in `fault`. */
struct offload_origin *worker_origin_new(struct vm *vm, struct fault *fault);
/* That origin in another process: takes the snapshot, copies the texts. */
struct offload_origin *worker_origin_adopt(const struct worker_origin *from);
/* A job for `origin`, which is borrowed; it sends messages through its pool. Takes the payload. */
struct worker_job *worker_job_new(struct offload_origin *origin, struct parcel *payload,
                                  const char *label);
/* It has no result: the caller gets an error object with this code. OFFLOAD_CRASHED for "crashed".
 */
void worker_job_fail(struct worker_job *job, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void worker_job_free(struct worker_job *job);

/* After a job, given what worker_vm_kind.open gave: whether the threads that it used in its turn
 * have ended its work, too. Waits for them for a moment. */
bool worker_vm_settle(void *state);

/* For lib_thread.c and log_context.c. */
struct offload_origin *worker_vm_origin(const struct worker_vm *worker);
struct worker_job *worker_vm_job(const struct worker_vm *worker); /* NULL: none runs */
const struct log_context *worker_vm_context(const struct worker_vm *worker);
bool worker_vm_is_cancelled(const struct worker_vm *worker);
