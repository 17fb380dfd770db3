/*
 * process_vm.h - pools of kind "process": each thread of the pool drives one child process, which
 * runs the jobs (process_child.h) and can be killed.
 *
 * A job whose caller has left is cancelled and, when it does not end, killed with its process; see
 * JOB_PROCESS_ANSWER_MS. One whose process dies fails with the code "crashed". Either way a fresh
 * process serves the next job.
 */
#pragma once

#include "loop/offload.h"

extern const struct offload_kind process_vm_kind;
