/*
 * parent_link.h - the other end of job_process.h: what a process that runs jobs hears of its
 * parent, on a thread of its own, also while a job computes.
 *
 * When the parent has gone, however that came about, the process ends in the middle of its job.
 * Lives as long as the process.
 */
#pragma once

#include <stdint.h>

struct offload_job;
struct parent_link;

/* Makes this process one that works for another: its signals are the parent's to answer, and its
 * descriptors are not handed on. 0, or -errno when JOB_PROCESS_STREAM_FD and
 * JOB_PROCESS_CONTROL_FD are not what a parent gives. */
int parent_link_prepare(void);
/* `on_cancel` may be called on any thread while a job runs, just after it was marked as cancelled.
 * NULL when no thread can be started. */
struct parent_link *parent_link_open(void (*on_cancel)(void *data), void *data);
/* Around a job. `number`: what the parent calls it. */
void parent_link_begin(struct parent_link *link, struct offload_job *job, uint64_t number);
void parent_link_finish(struct parent_link *link);
