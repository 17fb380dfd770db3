#include "http/answer_memory.h"

#include "base/mem.h"

#include <string.h>

static void make_room(struct message *message, uint32_t nheaders)
{
    if (message->headers_cap >= nheaders)
        return;
    message->headers_cap = ANSWER_MEMORY_FIELDS;
    message->headers = mem_grow(message->headers, ANSWER_MEMORY_FIELDS * sizeof(*message->headers));
}

bool answer_memory_find(const struct answer_memory *memory, struct str bytes,
                        struct message *message, size_t *used)
{
    uint32_t nheaders = memory->message.nheaders;
    if (memory->len == 0 || bytes.len < memory->len ||
        memcmp(bytes.ptr, memory->text, memory->len) != 0)
        return false;
    make_room(message, nheaders);
    struct header_slice *headers = message->headers;
    uint32_t cap = message->headers_cap, max = message->max_headers;
    *message = memory->message;
    message->headers = headers;
    message->headers_cap = cap;
    message->max_headers = max;
    if (nheaders != 0)
        memcpy(headers, memory->headers, nheaders * sizeof(*headers));
    *used = memory->len;
    return true;
}

void answer_memory_keep(struct answer_memory *memory, struct str head,
                        const struct message *message)
{
    if (head.len > ANSWER_MEMORY_BYTES || message->nheaders > ANSWER_MEMORY_FIELDS ||
        message->has_folds || message->status < 200)
        return;
    memory->len = (uint32_t)head.len;
    memcpy(memory->text, head.ptr, head.len);
    memory->message = *message;
    memory->message.headers = NULL;
    if (message->nheaders != 0)
        memcpy(memory->headers, message->headers, message->nheaders * sizeof(*message->headers));
}
