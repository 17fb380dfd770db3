#include "script/process_vm.h"

#include "script/worker_vm.h"

static void *process_open(void *data)
{
    return data;
}

static void process_run(void *state, struct offload_job *job)
{
    (void)state;
    worker_job_fail((struct worker_job *)job, "system",
                    "pools of kind \"process\" are not there yet; kind = \"thread\" is");
}

static void process_close(void *state)
{
    (void)state;
}

static void process_wake(void *state)
{
    (void)state;
}

const struct offload_kind process_vm_kind = {
    .name = "process",
    .open = process_open,
    .run = process_run,
    .close = process_close,
    .wake = process_wake,
};
