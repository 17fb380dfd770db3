/*
 * job_wire.h - jobs and parcels as frames, for the two ends of a process that runs jobs:
 * process_vm.c and process_child.c. Both are the same program, so what they send is laid out as in
 * memory; lengths are checked all the same.
 */
#pragma once

#include "base/log.h"
#include "loop/frame.h"
#include "loop/offload.h"
#include "script/log_context.h"
#include "script/parcel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In front of the texts of FRAME_HELLO: the log's path, NUL, the dictionary's directory. */
struct hello_head {
    enum log_level level;
    enum log_format format;
    uint32_t reopened;
    bool dict_is_synced;
    uint64_t dict_bytes;
};

/* In front of the parcel of FRAME_JOB. */
struct job_head {
    char label[OFFLOAD_LABEL_BYTES];
    struct log_context context;
    uint32_t max_posted;
};

/* The bodies of FRAME_HELLO and FRAME_ORIGIN, FRAME_FAILURE. */
enum { WIRE_MAX_TEXT_BYTES = 3 * 4096 };

/* A frame with `head` and a parcel as its body. The parcel is not copied. As frame_send. */
int wire_send(struct frame_stream *stream, struct frame frame, struct str head,
              const struct parcel *parcel);
/* The parcel of a frame of whose body `head_bytes` were read. 0; -EPROTO: it is none, -ENOMEM, or
 * another -errno of frame_read. */
int wire_receive(struct frame_stream *stream, const struct frame *frame, size_t head_bytes,
                 struct parcel **parcel);
