/*
 * worker_vm.h - what runs on an offload thread: a loop and a VM of its own, so that every primitive
 * works there too.
 *
 * Made, used and freed on its thread, except worker_vm_kind.wake. The VM is kept from job to job
 * while they come from the same origin (modules stay loaded, compiled code stays compiled), and
 * made anew for another one, or after an error that left it in doubt.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "loop/offload.h"

#include <stdbool.h>
#include <stdint.h>

struct mailbox_post;
struct offload_op;
struct snapshot;
struct vm;
struct worker_vm;

/* What VMs on threads are made from: the data of a struct offload_origin. Immutable. */
struct worker_origin {
    char *lua_dir;
    char *apps_dir;            /* NULL outside a server */
    struct snapshot *snapshot; /* a mapping of its own; NULL outside a server */
    uint64_t generation;
    struct mailbox_post *post; /* for what threads publish; NULL: none */
};

struct worker_job {
    struct offload_job base; /* first, so that it can be cast */
    struct offload_origin *origin;
    struct offload_op
        *waiting; /* the caller; NULL: it does not wait any more. The loop's thread only */
    struct buf payload;
    struct buf result;
    bool is_ok; /* result holds what the job gave; else its error */
};

extern const struct offload_kind worker_vm_kind;

/* The origin of jobs that `vm` sends. NULL with the reason in `fault`. */
struct offload_origin *worker_origin_new(struct vm *vm, struct fault *fault);
void worker_job_free(struct worker_job *job);
void worker_job_drop(struct offload_job *job);

/* For lib_thread.c. */
struct offload_origin *worker_vm_origin(const struct worker_vm *worker);
bool worker_vm_is_cancelled(const struct worker_vm *worker);
