/*
 * A process is started with the first job, told of an origin with the first job that comes from it,
 * and kept from job to job until it dies or has to be killed. One that died while it waited costs
 * no job: a fresh one takes the job over.
 */
#include "script/process_vm.h"

#include "base/exit_status.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/snapshot.h"
#include "loop/job_process.h"
#include "script/job_wire.h"
#include "script/worker_vm.h"
#include "shared/dict_home.h"
#include "shared/mailbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ATTEMPTS = 2 };

struct process_vm {
    struct job_process process;
    struct offload_origin *origin; /* that the process was told of last; a reference */
};

/* ---- a process ---- */

static void *process_open(void *data)
{
    (void)data;
    struct process_vm *self = MEM_NEW(struct process_vm);
    job_process_init(&self->process);
    return self;
}

static void end(struct process_vm *self, int patience_ms, char *how)
{
    job_process_end(&self->process, patience_ms, how, EXIT_TEXT_BYTES);
    offload_origin_unref(self->origin);
    self->origin = NULL;
}

static void process_close(void *state)
{
    struct process_vm *self = state;
    char how[EXIT_TEXT_BYTES];
    int pid = (int)self->process.child.pid;
    if (pid != 0) {
        end(self, JOB_PROCESS_STOP_MS, how);
        log_debug("process %d was asked to end: %s", pid, how);
    }
    job_process_deinit(&self->process);
    free(self);
}

static void process_wake(void *state)
{
    job_process_wake(&((struct process_vm *)state)->process);
}

static int start(struct process_vm *self, struct worker_job *job)
{
    struct log_settings log = log_settings();
    struct fault fault = {0};
    const char *home = dict_home_path(&fault);
    int status = job_process_start(&self->process);
    if (status < 0)
        return status;
    job->base.processes++;
    struct hello_head head;
    memset(&head, 0, sizeof(head));
    head.level = log.level;
    head.format = log.format;
    head.reopened = log.reopened;
    head.dict_bytes = dict_home_size_bytes();
    head.dict_is_synced = dict_home_is_synced();
    struct str parts[] = {
        {(const char *)&head, sizeof(head)}, {log.path, strlen(log.path) + 1}, str_of(home)};
    return frame_send(&self->process.stream, (struct frame){.type = FRAME_HELLO, .fd = -1}, parts,
                      3);
}

static int introduce(struct process_vm *self, struct offload_origin *origin)
{
    const struct worker_origin *data = offload_origin_data(origin);
    struct frame frame = {.type = FRAME_ORIGIN, .number = data->generation, .fd = -1};
    struct str parts[] = {{data->lua_dir, strlen(data->lua_dir) + 1}, str_of(data->apps_dir)};
    if (data->post != NULL)
        frame.detail = (uint32_t)mailbox_max_bytes(data->post);
    if (data->snapshot != NULL)
        frame.fd = snapshot_fd(data->snapshot);
    offload_origin_unref(self->origin);
    self->origin = offload_origin_ref(origin);
    return frame_send(&self->process.stream, frame, parts, 2);
}

/* ---- a job ---- */

static int send_job(struct process_vm *self, const struct worker_job *job)
{
    struct job_head head;
    struct frame frame = {.type = FRAME_JOB,
                          .detail = log_settings().reopened,
                          .number = self->process.number,
                          .fd = -1};
    memset(&head, 0, sizeof(head));
    memcpy(head.label, job->base.label, sizeof(head.label));
    head.context = job->context;
    head.max_posted = job->max_posted;
    return wire_send(&self->process.stream, frame, (struct str){(char *)&head, sizeof(head)},
                     job->payload);
}

/* A process that has the job, or -errno. */
static int hand_over(struct process_vm *self, struct worker_job *job)
{
    int status = 0;
    char how[EXIT_TEXT_BYTES];
    for (int attempt = 0; status == 0 && attempt < MAX_ATTEMPTS; attempt++) {
        pid_t pid = self->process.child.pid;
        if (pid != 0 && !job_process_is_fit(&self->process)) {
            end(self, JOB_PROCESS_DUMP_MS, how);
            job->base.processes--;
            log_warn(
                "process %d, which waited for jobs, has ended: %s; a fresh one takes its place",
                (int)pid, how);
        }
        if (self->process.child.pid == 0)
            status = start(self, job);
        if (status == 0)
            job_process_begin(&self->process, &job->base);
        if (status == 0 && self->origin != job->origin)
            status = introduce(self, job->origin);
        if (status == 0 && (status = send_job(self, job)) == 0)
            return 0;
        if (status == -ECONNRESET && attempt + 1 < MAX_ATTEMPTS)
            status = 0; /* it has died before it could begin: is_fit says so now */
    }
    return status;
}

static int send_blob(struct process_vm *self, const struct frame *frame)
{
    struct str bytes = offload_origin_get(self->origin, (uint32_t)frame->number);
    return frame_send(&self->process.stream, (struct frame){.type = FRAME_BLOB, .fd = -1}, &bytes,
                      1);
}

static int take_post(struct process_vm *self, const struct frame *frame, struct worker_job *job)
{
    struct parcel *parcel;
    int status = wire_receive(&self->process.stream, frame, 0, &parcel);
    if (status == 0 && job->max_posted == 0)
        parcel_free(parcel);
    else if (status == 0)
        job->post(job, parcel);
    return status;
}

static int publish(struct process_vm *self, const struct frame *frame, struct worker_job *job)
{
    const struct worker_origin *origin = offload_origin_data(job->origin);
    struct buf text = {0};
    int status = frame_read_body(&self->process.stream, frame,
                                 MAILBOX_TOPIC_BYTES + MAILBOX_MESSAGE_BYTES, &text);
    if (status == 0 && (frame->detail > text.len || origin->post == NULL))
        status = -EPROTO;
    if (status == 0)
        mailbox_send(origin->post, (struct str){text.ptr, frame->detail},
                     (struct str){text.ptr + frame->detail, text.len - frame->detail}, MAILBOX_ALL);
    buf_deinit(&text);
    return status;
}

/* Codes of error objects are literals in a job. */
static const char *literal_code(const char *code)
{
    static const char *const codes[] = {"system", "cancelled", "timeout", "misuse"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
        if (strcmp(code, codes[i]) == 0)
            return codes[i];
    return codes[0];
}

static int take_failure(struct process_vm *self, const struct frame *frame, struct worker_job *job)
{
    struct buf text = {0};
    int status = frame_read_body(&self->process.stream, frame, WIRE_MAX_TEXT_BYTES, &text);
    const char *end_of_code = status == 0 ? memchr(text.ptr, '\0', text.len) : NULL;
    if (status == 0 && end_of_code == NULL)
        status = -EPROTO;
    if (status == 0)
        worker_job_fail(job, literal_code(text.ptr), "%.*s",
                        (int)(text.len - (size_t)(end_of_code + 1 - text.ptr)), end_of_code + 1);
    buf_deinit(&text);
    return status;
}

/* One message of the process. 1 when it was the last one of the job, 0 when it goes on, or -errno.
 */
static int attend(struct process_vm *self, struct worker_job *job)
{
    struct frame frame;
    int status = frame_receive(&self->process.stream, &frame, FRAME_WITHOUT_FD);
    if (status == 0 && frame.type == FRAME_FETCH && frame.len == 0)
        return send_blob(self, &frame);
    if (status == 0 && frame.number != self->process.number)
        return -EPROTO;
    if (status < 0)
        return status;
    switch (frame.type) {
    case FRAME_POST:
        return take_post(self, &frame, job);
    case FRAME_PUBLISH:
        return publish(self, &frame, job);
    case FRAME_CANCELLING:
        job_process_grant_unwinding(&self->process);
        return frame.len == 0 ? 0 : -EPROTO;
    case FRAME_RESULT:
        job->base.outcome = frame.detail != 0 ? OFFLOAD_GOOD : OFFLOAD_FAILED;
        status = wire_receive(&self->process.stream, &frame, 0, &job->result);
        return status < 0 ? status : 1;
    case FRAME_FAILURE:
        status = take_failure(self, &frame, job);
        return status < 0 ? status : 1;
    default:
        return -EPROTO;
    }
}

/* ---- what goes wrong ---- */

/* The process is of no use any more. */
static void give_up(struct process_vm *self, struct worker_job *job, int status)
{
    char how[EXIT_TEXT_BYTES];
    int pid = (int)self->process.child.pid;
    bool is_dead = status == -ECONNRESET;
    const char *label = job->base.label;
    end(self, is_dead ? JOB_PROCESS_DUMP_MS : 0, how);
    job->base.processes--;
    if (status == -ETIMEDOUT) {
        job->base.was_killed = true;
        worker_job_fail(job, "cancelled", "%s was cancelled, and its process killed", label);
        log_warn("process %d was killed: %s was cancelled and did not end", pid, label);
    } else if (is_dead) {
        worker_job_fail(job, "crashed", "the process that ran %s has ended: %s", label, how);
        log_info("process %d, which ran %s, has ended: %s", pid, label, how);
    } else if (status == -EPROTO) {
        worker_job_fail(job, "crashed", "the process that ran %s wrote what is no message", label);
        log_warn("process %d was killed: while it ran %s, it wrote what is no message", pid, label);
    } else {
        worker_job_fail(job, "system", "cannot get the result of %s from its process: %s", label,
                        strerror(-status));
        log_warn("process %d was killed: cannot get the result of %s: %s", pid, label,
                 strerror(-status));
    }
}

static void process_run(void *state, struct offload_job *base)
{
    struct process_vm *self = state;
    struct worker_job *job = (struct worker_job *)base;
    int status = hand_over(self, job);
    parcel_free(job->payload);
    job->payload = NULL;
    if (status < 0 && self->process.child.pid == 0) {
        worker_job_fail(job, "system", "cannot start a process: %s", strerror(-status));
        return;
    }
    while (status == 0)
        status = attend(self, job);
    job_process_finish(&self->process);
    if (status < 0)
        give_up(self, job, status);
}

const struct offload_kind process_vm_kind = {
    .name = "process",
    .open = process_open,
    .run = process_run,
    .close = process_close,
    .wake = process_wake,
};
