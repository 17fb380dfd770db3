/*
 * mailbox_state.h - the memory behind mailbox.h, for the files that write and read it. Private.
 */
#pragma once

#include "base/buf.h"
#include "shared/mailbox.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    MARKS = 64, /* segments of a ring; the first message that begins in each is known */
    WORDS = MAILBOX_BUCKETS / 64,
    MAGIC = 0x6d6c6d73,
    REACHES = 2, /* of enum mailbox_reach, which are counted apart: some readers skip one */
};

struct mailbox_seat {
    _Atomic uint32_t incarnation; /* of who has it, part of the bell's name; 0: nobody */
    _Atomic uint32_t is_rung;     /* its bell: nobody need ring it again */
    _Atomic uint64_t wants[WORDS];

    /* Of its ring: positions in bytes since the beginning, never reduced. */
    _Atomic uint64_t reserved; /* what lies a ring's length below may be overwritten now */
    _Atomic uint64_t committed;
    _Atomic uint64_t marks[MARKS];
    _Atomic uint32_t counts[REACHES][MAILBOX_BUCKETS]; /* messages written */
};

/* Of all that follows, for a program of another version: a change here is a change of this. */
enum { MAILBOX_LAYOUT = 1 };

struct mailbox_head {
    uint32_t layout;
    uint32_t nseats;
    uint64_t ring_bytes;
    uint64_t key[2];        /* of this server's bells */
    _Atomic uint32_t nused; /* seats that ever had somebody */
    _Atomic uint32_t incarnations;
};

struct mailbox {
    struct mailbox_head *head;
    struct mailbox_seat *seats;
    char *rings;
    size_t ring_bytes;
    size_t map_bytes;
    uint32_t nseats;
    int fd; /* of the memory; -1: it cannot be handed on */
};

/* In front of each message in a ring; the topic and the bytes follow. */
struct mailbox_envelope {
    uint32_t magic;
    uint32_t nbytes;
    uint32_t count; /* of its bucket and reach, this one included */
    uint16_t bucket;
    uint8_t topic_len;
    uint8_t reach;
};

struct mailbox_post {
    struct mailbox *mailbox;
    struct mailbox *own_mailbox; /* freed with the post; NULL: it is the server's */
    uint32_t seat;
    int bell_fd;
    atomic_uint nrefs;
    pthread_mutex_t lock; /* between the threads of this process: our own ring */

    /* Reading. */
    uint64_t *cursors; /* by seat */
    uint32_t next_seat;
    uint32_t nwanted;                   /* buckets */
    uint32_t wanted[MAILBOX_BUCKETS];   /* how many topics of it */
    uint32_t *counted[MAILBOX_BUCKETS]; /* by seat and reach, as far as read; NULL: not wanted */
    struct buf scratch;
};

/* The messages of a ring, in the post's process. */
char *mailbox_ring(const struct mailbox *mailbox, uint32_t seat);
/* Wakes the reader of a seat, unless it is awake. */
void mailbox_ring_bell(struct mailbox_post *post, uint32_t index);
