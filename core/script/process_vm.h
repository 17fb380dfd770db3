/*
 * process_vm.h - pools of kind "process": each thread of the pool drives one child process, which
 * runs the jobs.
 *
 * The seam between the pool and what is behind it:
 * - open, on the pool's thread: what is needed for a child; the child itself may come with the
 * first job. close ends it.
 * - run gets a struct worker_job: payload (a struct parcel: one block, the lengths of its parts),
 *   origin (struct worker_origin for the VM on the other side; blobs by number,
 * offload_origin_get), context for the log, base.label, max_posted. It returns when the job is
 * over, with base.outcome and either result, a message as the child's worker VM made it, or
 * worker_job_fail: "crashed" when the child died, "timeout" or "cancelled" when it was killed for
 * the caller, who has left.
 * - While it runs, what the child posts goes to job->post(job, message) on the pool's thread. In
 * the child the same struct worker_job is made anew; its post writes to the parent instead.
 * - wake, from the loop's thread: offload_is_cancelled(&job->base) is true now. run has
 *   OFFLOAD_LOST_MS to return, by way of a kill if need be; after that the thread counts as lost.
 */
#pragma once

#include "loop/offload.h"

extern const struct offload_kind process_vm_kind;
