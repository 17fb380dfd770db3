/*
 * mailbox.h - messages from any worker of a server to all others, through memory that they share.
 *
 * Each seat of the scoreboard has a ring of bytes that its worker alone writes and everyone reads
 * where it likes: a message is written once, however many read it, and no writer ever waits for a
 * reader. Who reads too slowly finds the oldest messages overwritten, and can tell how many: each
 * message carries a count of those of its bucket (a hash of the topic). Workers say in shared
 * memory which buckets they want; what nobody wants is not written.
 *
 * A doorbell, one datagram to an abstract Unix socket with a random name, wakes a reader that
 * sleeps; while it is awake nobody rings. Its content means nothing, so a stranger who rings does
 * no harm.
 *
 * Killing any process at any instruction leaves nothing that others wait for: there are no locks
 * between processes, a message half written is never committed, a lost ring of the bell costs the
 * reader until its next look (look once a second). Nothing read from a ring is trusted.
 *
 * Made by the master before the first fork; a post is opened by one worker, used by its loop's
 * thread and, where it says so, by its other threads.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    MAILBOX_BUCKETS = 4096,
    MAILBOX_TOPIC_BYTES = 255,       /* the longest name of a topic */
    MAILBOX_MESSAGE_BYTES = 1000000, /* the longest message; less where memory is scarce */
};

struct mailbox;
struct mailbox_post;

/* For so many seats. Address space only, 2 MB a seat: memory is used by seats that send. Tries with
 * less where that is not to be had. NULL with errno set. */
struct mailbox *mailbox_new(uint32_t nseats);
/* That of the program which this process was before, through mailbox_fd there: a descriptor that
 * is taken over. NULL when it is of another layout or size, or cannot be mapped. */
struct mailbox *mailbox_adopt(int fd, uint32_t nseats);
/* The descriptor of its memory, the mailbox's; -1: it has none. */
int mailbox_fd(const struct mailbox *mailbox);
/* In a worker: the memory is enough. */
void mailbox_close_fd(struct mailbox *mailbox);
void mailbox_free(struct mailbox *mailbox); /* NULL is fine */
/* By the master, when nobody has the seat: after its worker has ended, before the next begins. */
void mailbox_clear_seat(struct mailbox *mailbox, uint32_t index);

/* Takes the seat for this process. The mailbox outlives the post. NULL with errno set. */
struct mailbox_post *mailbox_open(struct mailbox *mailbox, uint32_t seat);
/* With a mailbox of its own, for a process without others. */
struct mailbox_post *mailbox_open_alone(void);
/* On any thread. The last one closes. */
struct mailbox_post *mailbox_ref(struct mailbox_post *post);
void mailbox_unref(struct mailbox_post *post); /* NULL is fine */

/* Whom a message is for. */
enum mailbox_reach {
    MAILBOX_OTHERS = 0, /* other workers: the loop's thread tells its own readers itself */
    MAILBOX_ALL = 1,    /* this process's loop as well: from another thread of it */
};

/* On any thread. 0 (also when nobody wants it), or -EMSGSIZE. Never waits for a reader. */
int mailbox_send(struct mailbox_post *post, struct str topic, struct str bytes,
                 enum mailbox_reach reach);
/* The hash of a topic, below MAILBOX_BUCKETS. */
uint32_t mailbox_bucket(struct str topic);
/* How long a message may be. */
uint64_t mailbox_max_bytes(const struct mailbox_post *post);

/* The rest is for the loop's thread. */

/* Wants the messages of a topic, counted: as often as mailbox_unwant. Those that were sent before
 * may come as well. */
void mailbox_want(struct mailbox_post *post, struct str topic);
void mailbox_unwant(struct mailbox_post *post, struct str topic);

/* Readable when there may be messages. The post's. */
int mailbox_bell_fd(const struct mailbox_post *post);
/* Before mailbox_next: from here on the bell rings again. */
void mailbox_hush(struct mailbox_post *post);
/* Rings our own bell: to read on in another turn of the loop. */
void mailbox_ring_self(struct mailbox_post *post);

struct mailbox_message {
    struct str topic; /* both borrowed until the next call */
    struct str bytes;
    uint32_t nlost; /* messages of this topic's bucket lost before this one, from this sender */
};

/* The next message of a wanted bucket: in order for each sender. False: there are no more now. */
bool mailbox_next(struct mailbox_post *post, struct mailbox_message *message);
