/*
 * job_process.h - a process of this same program that runs jobs for one thread of this one.
 *
 * Owned and used by that thread, except job_process_wake. It starts as launch.h says, with
 * standard output and error and the descriptors below, and ends with the thread: whatever
 * happens to this process, the other one sees its descriptors close, and the kernel kills it.
 * Programs that its jobs have started and that are still in its group end with it.
 *
 * A job that is cancelled is told so, has JOB_PROCESS_ANSWER_MS to say that it has heard (it waits
 * for something, and unwinds), and then JOB_PROCESS_UNWIND_MS to end. Beyond either its process is
 * to be killed: waiting for it ends with -ETIMEDOUT.
 */
#pragma once

#include "base/launch.h"
#include "loop/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct offload_job;

enum {
    JOB_PROCESS_ANSWER_MS = 200,
    JOB_PROCESS_UNWIND_MS = 250, /* both together: less than OFFLOAD_STOP_MS */
    JOB_PROCESS_STOP_MS = 400,   /* so long an idle one may take to end when it is asked to */
    JOB_PROCESS_DUMP_MS = 1000,  /* and one that has crashed */
};

/* The descriptors of the other process. Standard input is /dev/null there. */
enum {
    JOB_PROCESS_STREAM_FD = 3,  /* struct frame, both ways */
    JOB_PROCESS_CONTROL_FD = 4, /* a pipe that it reads: uint64_t, the job that is cancelled */
    JOB_PROCESS_LOG_FD = 5,
    JOB_PROCESS_HELPER_FD = 6, /* where this one has a helper (base/helper.h): that, too */
};

/* argv of the other process; the third is the log role of this one. */
#define JOB_PROCESS_PROGRAM "/proc/self/exe"
#define JOB_PROCESS_WORD "offload-process"

struct job_process {
    struct frame_stream stream;
    struct launched child; /* pid 0: there is none */
    int control_fd;
    _Atomic int wake_fd;     /* an eventfd; -1 until the first process starts */
    struct offload_job *job; /* runs there; NULL: none */
    uint64_t number;         /* of that job, or the last one */
    uint64_t give_up_ms;     /* the job was cancelled and has until then; 0: was not */
    bool has_answered;       /* it has heard that */
};

void job_process_init(struct job_process *process);
void job_process_deinit(struct job_process *process); /* there must be none */

/* Starts one. 0 or -errno. */
int job_process_start(struct job_process *process);
/* While no job runs: whether the process is still there and silent, as it should be. */
bool job_process_is_fit(const struct job_process *process);
/* Around a job: from now on job_process_wake looks whether it was cancelled. */
void job_process_begin(struct job_process *process, struct offload_job *job);
void job_process_finish(struct job_process *process);
/* The job has heard that it is cancelled. Counts once. */
void job_process_grant_unwinding(struct job_process *process);
/* On any thread: the job may have been cancelled. */
void job_process_wake(struct job_process *process);
/* Ends and reaps it: closes its stream, waits `patience_ms` at most, kills. How it ended is in
 * `how`: "killed by SIGSEGV (Segmentation fault)". */
void job_process_end(struct job_process *process, int patience_ms, char *how, size_t bytes);
