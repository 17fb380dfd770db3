#include "script/log_context.h"

#include "script/generation_state.h"
#include "script/job.h"
#include "script/task.h"
#include "script/worker_vm.h"

#include <string.h>

/* The request that the running task works for. */
static const struct exchange *current_exchange(const struct vm *vm)
{
    const struct task *task = vm->current;
    if (task == NULL || task->exchange == NULL || task->exchange->request == NULL ||
        task->exchange->serial != task->exchange_serial)
        return NULL;
    return task->exchange;
}

static void copy_text(char *to, size_t cap, const char *from)
{
    size_t len = strnlen(from, cap - 1);
    memcpy(to, from, len);
    to[len] = '\0';
}

static void read_job(const struct job *job, struct log_context *context)
{
    context->has_request = job->request != NULL;
    if (job->request != NULL)
        memcpy(context->request_id, job->request, REQUEST_ID_BYTES);
    copy_text(context->app, LOG_APP_BYTES, job->app->name);
    copy_text(context->route, LOG_ROUTE_BYTES, job->route != NULL ? job->route : "");
    copy_text(context->job, LOG_JOB_BYTES, job->name);
}

void log_context_read(struct vm *vm, struct log_context *context)
{
    const struct exchange *exchange = current_exchange(vm);
    const struct job *job = exchange == NULL ? job_of(vm->current) : NULL;
    context->is_set = exchange != NULL || job != NULL;
    context->has_request = exchange != NULL;
    context->job[0] = '\0';
    if (job != NULL) {
        read_job(job, context);
    } else if (exchange != NULL) {
        memcpy(context->request_id, exchange->request->id, REQUEST_ID_BYTES);
        copy_text(context->app, LOG_APP_BYTES,
                  exchange->generation->apps[exchange->route->app].name);
        copy_text(context->route, LOG_ROUTE_BYTES, exchange->route->pattern);
    } else if (vm->worker != NULL && worker_vm_context(vm->worker) != NULL) {
        *context = *worker_vm_context(vm->worker);
    }
}

size_t log_context_fields(const struct log_context *context,
                          struct log_field fields[LOG_CONTEXT_FIELDS])
{
    size_t count = 0;
    if (!context->is_set)
        return 0;
    if (context->has_request)
        fields[count++] = (struct log_field){"request_id", {context->request_id, REQUEST_ID_BYTES}};
    fields[count++] = (struct log_field){"app", str_of(context->app)};
    if (context->route[0] != '\0')
        fields[count++] = (struct log_field){"route", str_of(context->route)};
    if (context->job[0] != '\0')
        fields[count++] = (struct log_field){"job", str_of(context->job)};
    return count;
}
