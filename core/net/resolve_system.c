#include "net/resolve_system.h"

#include "base/mem.h"
#include "loop/loop.h"
#include "loop/uv_loop.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct system_lookup {
    uv_getaddrinfo_t request;
    struct loop *loop;
    /* NULL: cancelled; freed when libuv gives the request back */
    void (*on_done)(void *owner, const struct address *addresses, uint32_t count,
                    const char *reason);
    void *owner;
};

static uint32_t copy_addresses(const struct addrinfo *list, struct address *addresses)
{
    uint32_t count = 0;
    for (; list != NULL && count < SYSTEM_LOOKUP_MAX; list = list->ai_next) {
        if (list->ai_addrlen > sizeof(addresses[count].as.storage))
            continue;
        memset(&addresses[count], 0, sizeof(addresses[count]));
        memcpy(&addresses[count++].as.storage, list->ai_addr, list->ai_addrlen);
    }
    return count;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct system_lookup *lookup = request->data;
    struct address addresses[SYSTEM_LOOKUP_MAX];
    if (lookup->on_done != NULL) {
        uint32_t count = copy_addresses(list, addresses);
        loop_wait_ends(lookup->loop, WAIT_REAL);
        lookup->on_done(lookup->owner, addresses, count,
                        status != 0  ? uv_strerror(status)
                        : count == 0 ? "the name has no address"
                                     : NULL);
    }
    uv_freeaddrinfo(list);
    free(lookup);
}

struct system_lookup *system_lookup_start(struct loop *loop, const char *name,
                                          void (*on_done)(void *owner,
                                                          const struct address *addresses,
                                                          uint32_t count, const char *reason),
                                          void *owner)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct system_lookup *lookup = MEM_NEW(struct system_lookup);
    lookup->request.data = lookup;
    lookup->loop = loop;
    lookup->on_done = on_done;
    lookup->owner = owner;
    if (uv_getaddrinfo(loop_uv(loop), &lookup->request, on_resolved, name, NULL, &hints) != 0) {
        free(lookup);
        return NULL;
    }
    loop_wait_begins(loop, WAIT_REAL);
    return lookup;
}

void system_lookup_cancel(struct system_lookup *lookup)
{
    if (lookup == NULL)
        return;
    lookup->on_done = NULL;
    loop_wait_ends(lookup->loop, WAIT_REAL);
    uv_cancel((uv_req_t *)&lookup->request); /* one that a thread has begun ends by itself */
}
