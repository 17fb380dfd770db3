#include "script/log_context.h"

#include "script/generation_state.h"
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

void log_context_read(struct vm *vm, struct log_context *context)
{
    const struct exchange *exchange = current_exchange(vm);
    context->is_set = exchange != NULL;
    if (exchange != NULL) {
        memcpy(context->request_id, exchange->request->id, REQUEST_ID_BYTES);
        copy_text(context->app, LOG_APP_BYTES,
                  exchange->generation->apps[exchange->route->app].name);
        copy_text(context->route, LOG_ROUTE_BYTES, exchange->route->pattern);
    } else if (vm->worker != NULL && worker_vm_context(vm->worker) != NULL) {
        *context = *worker_vm_context(vm->worker);
    }
}
