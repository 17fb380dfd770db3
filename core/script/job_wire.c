#include "script/job_wire.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>

enum { WIRE_MAX_PARTS = 1 << 22 };

/* After the head: how many parts, their lengths, their bytes. */
int wire_send(struct frame_stream *stream, struct frame frame, struct str head,
              const struct parcel *parcel)
{
    uint64_t few[8], *lengths = few;
    if (parcel->nparts >= sizeof(few) / sizeof(*few))
        lengths = mem_grow(NULL, (parcel->nparts + 1) * sizeof(*lengths));
    lengths[0] = parcel->nparts;
    for (uint32_t i = 0; i < parcel->nparts; i++)
        lengths[i + 1] = parcel->parts[i].len;
    struct str parts[] = {head,
                          {(const char *)lengths, (parcel->nparts + 1) * sizeof(*lengths)},
                          {parcel->parts[0].ptr, parcel->bytes}};
    int status = frame_send(stream, frame, parts, 3);
    if (lengths != few)
        free(lengths);
    return status;
}

/* Whether the parts are `bytes` long together. */
static bool is_sum(const uint64_t *lengths, uint64_t count, uint64_t bytes)
{
    for (uint64_t i = 0; i < count; i++) {
        if (lengths[i] > bytes)
            return false;
        bytes -= lengths[i];
    }
    return bytes == 0;
}

int wire_receive(struct frame_stream *stream, const struct frame *frame, size_t head_bytes,
                 struct parcel **parcel)
{
    uint64_t count, few[8], *lengths = few;
    *parcel = NULL;
    if (frame->len < head_bytes + sizeof(count))
        return -EPROTO;
    uint64_t left = frame->len - head_bytes - sizeof(count);
    int status = frame_read(stream, &count, sizeof(count));
    if (status < 0)
        return status;
    if (count < 1 || count > WIRE_MAX_PARTS || count * sizeof(*lengths) > left)
        return -EPROTO;
    left -= count * sizeof(*lengths);
    if (count > sizeof(few) / sizeof(*few))
        lengths = mem_grow(NULL, count * sizeof(*lengths));
    status = frame_read(stream, lengths, count * sizeof(*lengths));
    if (status == 0 && !is_sum(lengths, count, left))
        status = -EPROTO;
    if (status == 0 && (*parcel = parcel_try_new((uint32_t)count, lengths)) == NULL)
        status = -ENOMEM;
    if (lengths != few)
        free(lengths);
    if (status == 0)
        status = frame_read(stream, (char *)(*parcel)->parts[0].ptr, left);
    if (status < 0) {
        parcel_free(*parcel);
        *parcel = NULL;
    }
    return status;
}
