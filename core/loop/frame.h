/*
 * frame.h - messages between this process and one that works for it, over a stream socket: a head
 * of fixed size, then `len` bytes.
 *
 * One thread uses a stream at a time. What the other side sends is not trusted: a head that is none
 * of ours is -EPROTO.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

/* More than any Lua string or message of them is long. */
#define FRAME_MAX_BYTES ((uint64_t)1 << 33)
enum { FRAME_MAX_PARTS = 3 };

enum frame_type {
    /* to the process */
    FRAME_HELLO = 1, /* where it logs, and where the shared dictionary is */
    FRAME_ORIGIN,    /* number: the generation; detail: how long a message to a topic may be.
                      * What jobs are made from now on; with the snapshot */
    FRAME_JOB,       /* number: the job's; detail: how often the log was reopened */
    FRAME_BLOB,      /* the answer to FRAME_FETCH */
    /* from it; of all but the first the number is the job's */
    FRAME_FETCH,      /* number: of the bytes it wants */
    FRAME_POST,       /* a message ahead of the end */
    FRAME_PUBLISH,    /* detail: the length of the topic, which is in front of the message */
    FRAME_CANCELLING, /* the job has heard that it is cancelled */
    FRAME_RESULT,     /* detail: whether that is values, else an error */
    FRAME_FAILURE,    /* there is no result: a code, NUL, why */
    FRAME_LAST_TYPE = FRAME_FAILURE,
};

struct frame {
    enum frame_type type;
    uint32_t detail;
    uint64_t number;
    uint64_t len; /* of the body; set by frame_send */
    int fd;       /* travels along; -1: none. The receiver's own */
};

struct frame_stream {
    int fd;
    /* Waits until `events` of poll(2) are there: 0, or -errno, which ends the call that waits.
     * NULL: the descriptor blocks. */
    int (*wait)(void *data, short events);
    void *data;
};

/* The body is what is in `parts`, FRAME_MAX_PARTS at most. 0 or -errno; after an error the stream
 * is of no use any more. -ECONNRESET: nobody reads. */
int frame_send(struct frame_stream *stream, struct frame frame, const struct str *parts,
               size_t nparts);
/* Reads a head; all of its body must be read before the next one. Descriptors are accepted only
 * where asked for. 0 or -errno; -ECONNRESET: the other side has closed, -EPROTO: this is none of
 * ours. */
enum frame_fds { FRAME_WITHOUT_FD, FRAME_WITH_FD };
int frame_receive(struct frame_stream *stream, struct frame *frame, enum frame_fds fds);
/* The next `len` bytes of a body. 0 or -errno. */
int frame_read(struct frame_stream *stream, void *into, size_t len);
/* The whole body behind what is in `into`, for small ones: -EPROTO when it has more than `max`
 * bytes. */
int frame_read_body(struct frame_stream *stream, const struct frame *frame, uint64_t max,
                    struct buf *into);
