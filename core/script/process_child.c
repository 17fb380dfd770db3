#include "script/process_child.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/snapshot.h"
#include "loop/job_process.h"
#include "loop/parent_link.h"
#include "script/job_wire.h"
#include "script/worker_vm.h"
#include "shared/dict_home.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_MISUSE = 2, ROLE_BYTES = 96 };

struct process_child {
    struct frame_stream stream;
    struct parent_link *link;
    void *worker; /* worker_vm_kind's */
    struct offload_origin *origin;
    uint64_t number; /* of the job that runs */
    uint32_t reopened;
    char role[ROLE_BYTES];
};

/* ---- to the parent ---- */

/* In the middle of a job there is nothing to do without a parent. */
static void leave_if_lost(int status)
{
    if (status >= 0)
        return;
    if (status != -ECONNRESET)
        log_error("cannot talk to the process that sent a job: %s", strerror(-status));
    _exit(status == -ECONNRESET ? 0 : 1);
}

static struct process_child *child_of(const struct worker_job *job)
{
    const struct worker_origin *origin = offload_origin_data(job->origin);
    return origin->child;
}

static struct frame frame_of(const struct process_child *child, enum frame_type type)
{
    return (struct frame){.type = type, .number = child->number, .fd = -1};
}

static void post(struct worker_job *job, struct parcel *parcel)
{
    struct process_child *child = child_of(job);
    leave_if_lost(wire_send(&child->stream, frame_of(child, FRAME_POST), (struct str){0}, parcel));
    parcel_free(parcel);
}

static void on_cancelling(struct worker_job *job)
{
    struct process_child *child = child_of(job);
    leave_if_lost(frame_send(&child->stream, frame_of(child, FRAME_CANCELLING), NULL, 0));
}

void process_child_push_blob(struct process_child *child, uint32_t number, lua_State *L)
{
    struct frame frame = {.type = FRAME_FETCH, .number = number, .fd = -1};
    struct buf bytes = {0};
    leave_if_lost(frame_send(&child->stream, frame, NULL, 0));
    leave_if_lost(frame_receive(&child->stream, &frame, FRAME_WITHOUT_FD));
    leave_if_lost(frame.type == FRAME_BLOB ? 0 : -EPROTO);
    leave_if_lost(frame_read_body(&child->stream, &frame, FRAME_MAX_BYTES, &bytes));
    lua_pushlstring(L, bytes.ptr != NULL ? bytes.ptr : "", bytes.len);
    buf_deinit(&bytes);
}

void process_child_publish(struct process_child *child, struct str topic, struct str bytes)
{
    struct frame frame = frame_of(child, FRAME_PUBLISH);
    struct str parts[] = {topic, bytes};
    frame.detail = (uint32_t)topic.len;
    leave_if_lost(frame_send(&child->stream, frame, parts, 2));
}

static int send_outcome(struct process_child *child, const struct worker_job *job)
{
    struct frame frame = frame_of(child, FRAME_RESULT);
    if (job->result != NULL) {
        frame.detail = job->base.outcome == OFFLOAD_GOOD;
        return wire_send(&child->stream, frame, (struct str){0}, job->result);
    }
    const char *code = job->code != NULL ? job->code : "system";
    frame.type = FRAME_FAILURE;
    struct str parts[] = {{code, strlen(code) + 1}, str_of(job->why)};
    return frame_send(&child->stream, frame, parts, 2);
}

/* ---- from the parent ---- */

/* The text of a body with a NUL behind it. */
static int read_text(struct process_child *child, const struct frame *frame, struct buf *text)
{
    int status = frame_read_body(&child->stream, frame, WIRE_MAX_TEXT_BYTES, text);
    buf_add_char(text, '\0');
    return status;
}

static int on_hello(struct process_child *child, const struct frame *frame)
{
    struct buf text = {0};
    struct fault fault = {0};
    struct hello_head head;
    int status = read_text(child, frame, &text);
    if (status == 0 && text.len <= sizeof(head))
        status = -EPROTO;
    const char *path = text.ptr + sizeof(head);
    if (status == 0 && path + strlen(path) + 1 >= text.ptr + text.len)
        status = -EPROTO;
    if (status == 0) {
        memcpy(&head, text.ptr, sizeof(head));
        const struct dict_home_options home = {.path = path + strlen(path) + 1,
                                               .size_bytes = head.dict_bytes,
                                               .is_synced = head.dict_is_synced};
        child->reopened = head.reopened;
        if (*home.path != '\0' && !dict_home_use(&home, &fault))
            log_error("%s", fault.text);
        status = log_adopt(&(struct log_settings){
            .fd = JOB_PROCESS_LOG_FD, .level = head.level, .format = head.format, .path = path});
    }
    buf_deinit(&text);
    return status;
}

static int on_origin(struct process_child *child, const struct frame *frame)
{
    struct buf text = {0};
    struct fault fault = {0};
    struct snapshot *snapshot = NULL;
    int status = read_text(child, frame, &text);
    const char *apps_dir = status == 0 ? text.ptr + strlen(text.ptr) + 1 : "";
    if (status == 0 && apps_dir >= text.ptr + text.len)
        status = -EPROTO;
    if (status == 0 && frame->fd >= 0 && (snapshot = snapshot_map(frame->fd, &fault)) == NULL) {
        log_error("%s", fault.text);
        status = -EPROTO;
    }
    if (status == 0) {
        offload_origin_unref(child->origin);
        const struct worker_origin origin = {.lua_dir = text.ptr,
                                             .apps_dir =
                                                 *apps_dir != '\0' ? (char *)apps_dir : NULL,
                                             .snapshot = snapshot,
                                             .generation = frame->number,
                                             .child = child,
                                             .in_process = true,
                                             .max_published = frame->detail};
        child->origin = worker_origin_adopt(&origin);
    }
    buf_deinit(&text);
    return status;
}

static void follow_log(struct process_child *child, uint32_t reopened)
{
    if (reopened == child->reopened)
        return;
    child->reopened = reopened;
    int status = log_reopen();
    if (status < 0)
        log_error("cannot open the log anew: %s", strerror(-status));
}

static int on_job(struct process_child *child, const struct frame *frame)
{
    struct job_head head;
    struct parcel *payload;
    if (child->origin == NULL || frame->len < sizeof(head))
        return -EPROTO;
    int status = frame_read(&child->stream, &head, sizeof(head));
    if (status >= 0)
        status = wire_receive(&child->stream, frame, sizeof(head), &payload);
    if (status < 0)
        return status;
    follow_log(child, frame->detail);
    head.label[sizeof(head.label) - 1] = '\0';
    struct worker_job *job = worker_job_new(child->origin, payload, head.label);
    job->context = head.context;
    job->max_posted = head.max_posted;
    job->post = post;
    job->on_cancelling = on_cancelling;
    child->number = frame->number;
    parent_link_begin(child->link, &job->base, frame->number);
    worker_vm_kind.run(child->worker, &job->base);
    parent_link_finish(child->link);
    fflush(stdout);
    status = send_outcome(child, job);
    if (!worker_vm_settle(child->worker)) {
        log_warn("this process ends: a thread of it does not stop working for %s, which has ended",
                 job->base.label);
        _exit(0);
    }
    worker_job_free(job);
    return status;
}

/* Until the parent closes the stream. */
static int serve(struct process_child *child)
{
    int status = 0;
    while (status == 0) {
        struct frame frame;
        if ((status = frame_receive(&child->stream, &frame, FRAME_WITH_FD)) < 0)
            break;
        switch (frame.type) {
        case FRAME_HELLO:
            status = on_hello(child, &frame);
            break;
        case FRAME_ORIGIN:
            status = on_origin(child, &frame);
            break;
        case FRAME_JOB:
            status = on_job(child, &frame);
            break;
        default:
            status = -EPROTO;
        }
        if (frame.fd >= 0)
            close(frame.fd);
    }
    return status == -ECONNRESET ? 0 : status;
}

static void name_role(struct process_child *child, const char *parent_role)
{
    bool has_role = parent_role != NULL && *parent_role != '\0';
    snprintf(child->role, sizeof(child->role), "%.64s%sprocess %d", has_role ? parent_role : "",
             has_role ? " " : "", (int)getpid());
    log_set_role(child->role);
}

/* `ps` shows "moonloop offload-process worker 1" instead of the path that was executed. */
static void show_name(int argc, char **argv)
{
    static const char name[] = "moonloop";
    char *end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;
    if (argc < 2 || strlen(argv[0]) < sizeof(name) - 1)
        return;
    memcpy(argv[0], name, sizeof(name));
    char *rest = argv[0] + sizeof(name);
    size_t len = (size_t)(end - argv[1]);
    memmove(rest, argv[1], len);
    memset(rest + len, 0, (size_t)(end - rest) - len);
}

int process_child_run(int argc, char **argv)
{
    static struct process_child child = {.stream = {.fd = JOB_PROCESS_STREAM_FD}};
    if (parent_link_prepare() < 0) {
        fprintf(stderr, "moonloop: %s is started by moonloop itself, for pools of processes\n",
                JOB_PROCESS_WORD);
        return EXIT_MISUSE;
    }
    name_role(&child, argc > 2 ? argv[2] : "");
    show_name(argc, argv);
    child.worker = worker_vm_kind.open(NULL);
    child.link = parent_link_open(worker_vm_kind.wake, child.worker);
    int status = child.link != NULL ? serve(&child) : -EAGAIN;
    if (status < 0)
        log_error("cannot work for the process that started this one: %s", strerror(-status));
    worker_vm_kind.close(child.worker);
    offload_origin_unref(child.origin);
    return status < 0;
}
