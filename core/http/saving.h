/*
 * saving.h - the body of an answer on its way into a file, in constant memory.
 *
 * Goes to a temporary file beside the final one, which is renamed at the end: under the final name
 * there is never half a body. While a thread writes what came, the next is being read. Owned by
 * whoever made it, on the loop's thread; ends before its fetch.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct fetch;
struct file;
struct loop;

struct saving_options {
    const char *path;
    uint32_t mode;   /* permissions of the file, less the umask */
    bool is_durable; /* waits until file and name are on the disk */
};

struct saving {
    struct fetch *fetch;                      /* NULL: what was given is all */
    void (*on_change)(struct saving *saving); /* bytes were written, or it is over; from the loop */
    void *owner;
    struct file *file;
    char *path;
    char *temporary;
    struct buf bytes; /* without a fetch: those */
    struct buf spare; /* memory of the last write */
    uint64_t written_bytes;
    const char *doing; /* "write": for messages */
    int error;         /* errno of the file; 0: none */
    uint32_t mode;
    uint32_t attempts;
    uint8_t step;
    bool is_busy; /* a thread works */
    bool is_durable;
    bool is_over; /* saved, or `error`, or the fetch has failed */
};

/* Without a fetch, for what is at hand: `bytes`, which is emptied; else NULL. */
struct saving *saving_new(struct loop *loop, struct fetch *fetch, struct buf *bytes,
                          const struct saving_options *options,
                          void (*on_change)(struct saving *saving), void *owner);
/* Removes what is not whole. NULL is fine. */
void saving_free(struct saving *saving);
/* There is more of the answer, or its end, or its failure: for the fetch's on_change. Does not call
 * on_change itself. */
void saving_go_on(struct saving *saving);
