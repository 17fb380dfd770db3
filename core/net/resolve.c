#include "net/resolve.h"

#include "base/mem.h"
#include "loop/uv_loop.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct resolve {
    uv_getaddrinfo_t request;
    uint16_t port;
    /* NULL: cancelled; freed when libuv gives the request back */
    void (*on_done)(void *owner, const struct address *addresses, uint32_t count,
                    const char *reason);
    void *owner;
};

static uint32_t copy_addresses(const struct resolve *resolve, const struct addrinfo *list,
                               struct address *addresses)
{
    uint32_t count = 0;
    for (; list != NULL && count < RESOLVE_MAX_ADDRESSES; list = list->ai_next) {
        if (list->ai_addrlen > sizeof(addresses[count].as.storage))
            continue;
        memset(&addresses[count], 0, sizeof(addresses[count]));
        memcpy(&addresses[count].as.storage, list->ai_addr, list->ai_addrlen);
        address_set_port(&addresses[count++], resolve->port);
    }
    return count;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct resolve *resolve = request->data;
    struct address addresses[RESOLVE_MAX_ADDRESSES];
    if (resolve->on_done != NULL) {
        uint32_t count = copy_addresses(resolve, list, addresses);
        resolve->on_done(resolve->owner, addresses, count,
                         status != 0  ? uv_strerror(status)
                         : count == 0 ? "the name has no address"
                                      : NULL);
    }
    uv_freeaddrinfo(list);
    free(resolve);
}

struct resolve *resolve_start(struct loop *loop, const char *host, uint16_t port,
                              void (*on_done)(void *owner, const struct address *addresses,
                                              uint32_t count, const char *reason),
                              void *owner)
{
    static const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_ADDRCONFIG,
    };
    struct resolve *resolve = MEM_NEW(struct resolve);
    resolve->request.data = resolve;
    resolve->port = port;
    resolve->on_done = on_done;
    resolve->owner = owner;
    if (uv_getaddrinfo(loop_uv(loop), &resolve->request, on_resolved, host, NULL, &hints) != 0) {
        free(resolve);
        return NULL;
    }
    return resolve;
}

void resolve_cancel(struct resolve *resolve)
{
    if (resolve == NULL)
        return;
    resolve->on_done = NULL;
    uv_cancel((uv_req_t *)&resolve->request); /* one that a thread has begun ends by itself */
}
