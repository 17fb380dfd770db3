/*
 * Reading: one cursor for each ring. What is read may be overwritten at the same time, or be
 * nonsense of a worker gone mad: it is copied, then checked, then used.
 */
#include "shared/mailbox_state.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- what is wanted ---- */

/* From here on: what the rings hold already is of no interest when nothing was wanted before. */
static void skip_all(struct mailbox_post *post)
{
    uint32_t nseats = atomic_load(&post->mailbox->head->nused);
    for (uint32_t i = 0; i < nseats; i++)
        post->cursors[i] = atomic_load(&post->mailbox->seats[i].committed);
}

void mailbox_want(struct mailbox_post *post, struct str topic)
{
    struct mailbox *mailbox = post->mailbox;
    uint32_t bucket = mailbox_bucket(topic);
    if (post->wanted[bucket]++ != 0)
        return;
    atomic_fetch_or(&mailbox->seats[post->seat].wants[bucket / 64], 1ull << bucket % 64);
    if (post->nwanted++ == 0)
        skip_all(post);
    /* Seats that nobody has had yet have counted nothing. */
    uint32_t *counted = mem_zeroed(sizeof(uint32_t) * mailbox->nseats * REACHES);
    post->counted[bucket] = counted;
    uint32_t nseats = atomic_load(&mailbox->head->nused);
    for (uint32_t i = 0; i < nseats; i++)
        for (uint32_t reach = 0; reach < REACHES; reach++)
            counted[i * REACHES + reach] = atomic_load(&mailbox->seats[i].counts[reach][bucket]);
}

void mailbox_unwant(struct mailbox_post *post, struct str topic)
{
    uint32_t bucket = mailbox_bucket(topic);
    ENSURE(post->wanted[bucket] != 0);
    if (--post->wanted[bucket] != 0)
        return;
    atomic_fetch_and(&post->mailbox->seats[post->seat].wants[bucket / 64], ~(1ull << bucket % 64));
    post->nwanted--;
    free(post->counted[bucket]);
    post->counted[bucket] = NULL;
}

/* ---- one ring ---- */

static void get(const struct mailbox *mailbox, uint32_t seat, uint64_t position, void *bytes,
                size_t len)
{
    const char *ring = mailbox_ring(mailbox, seat);
    size_t at = position % mailbox->ring_bytes, first = mailbox->ring_bytes - at;
    if (first > len)
        first = len;
    memcpy(bytes, ring + at, first);
    memcpy((char *)bytes + first, ring, len - first);
}

/* Whether what was copied from there had not been overwritten by then. */
static bool is_intact(const struct mailbox *mailbox, const struct mailbox_seat *seat,
                      uint64_t position)
{
    atomic_thread_fence(memory_order_acquire);
    uint64_t reserved = atomic_load_explicit(&seat->reserved, memory_order_relaxed);
    return reserved - position <= mailbox->ring_bytes;
}

/* The oldest message in the newer half of the ring: there is time to read it. */
static uint64_t catch_up(const struct mailbox *mailbox, const struct mailbox_seat *seat)
{
    uint64_t segment_bytes = mailbox->ring_bytes / MARKS;
    uint64_t committed = atomic_load(&seat->committed), reserved = atomic_load(&seat->reserved);
    uint64_t half = mailbox->ring_bytes / 2, from = reserved > half ? reserved - half : 0;
    for (uint64_t i = from / segment_bytes; i <= committed / segment_bytes; i++) {
        uint64_t mark = atomic_load(&seat->marks[i % MARKS]);
        if (mark >= from && mark < committed && mark / segment_bytes == i)
            return mark;
    }
    return committed;
}

/* Reads the envelope at the cursor. False: the cursor has been moved to where it makes sense. */
static bool get_envelope(struct mailbox_post *post, uint32_t index, uint64_t committed,
                         struct mailbox_envelope *envelope)
{
    const struct mailbox *mailbox = post->mailbox;
    const struct mailbox_seat *seat = &mailbox->seats[index];
    uint64_t cursor = post->cursors[index], left = committed - cursor;
    bool is_good = left >= sizeof(*envelope) && left <= mailbox->ring_bytes;
    if (is_good)
        get(mailbox, index, cursor, envelope, sizeof(*envelope));
    if (is_good && is_intact(mailbox, seat, cursor) && envelope->magic == MAGIC &&
        envelope->bucket < MAILBOX_BUCKETS && envelope->reach < REACHES &&
        sizeof(*envelope) + envelope->topic_len + (uint64_t)envelope->nbytes <= left)
        return true;
    uint64_t next = catch_up(mailbox, seat);
    post->cursors[index] = next > cursor ? next : committed;
    return false;
}

static bool is_for_us(const struct mailbox_post *post, uint32_t index,
                      const struct mailbox_envelope *envelope)
{
    return post->counted[envelope->bucket] != NULL &&
           (index != post->seat || envelope->reach == MAILBOX_ALL);
}

static uint32_t count_lost(struct mailbox_post *post, uint32_t index,
                           const struct mailbox_envelope *envelope)
{
    uint32_t *counted = &post->counted[envelope->bucket][index * REACHES + envelope->reach];
    int32_t step = (int32_t)(envelope->count - *counted);
    if (step <= 0)
        return 0; /* from before it was wanted */
    *counted = envelope->count;
    return (uint32_t)step - 1;
}

/* The next message of this ring that is for us. */
static bool next_of(struct mailbox_post *post, uint32_t index, struct mailbox_message *message)
{
    const struct mailbox *mailbox = post->mailbox;
    const struct mailbox_seat *seat = &mailbox->seats[index];
    struct mailbox_envelope envelope;
    uint64_t committed;
    while ((committed = atomic_load(&seat->committed)) != post->cursors[index]) {
        uint64_t cursor = post->cursors[index];
        if (!get_envelope(post, index, committed, &envelope))
            continue;
        size_t len = envelope.topic_len + (size_t)envelope.nbytes;
        uint64_t begin = cursor + sizeof(envelope);
        if (!is_for_us(post, index, &envelope)) {
            post->cursors[index] = begin + len;
            continue;
        }
        post->scratch.len = 0;
        buf_reserve(&post->scratch, len + 1);
        get(mailbox, index, begin, post->scratch.ptr, len);
        if (!is_intact(mailbox, seat, cursor))
            continue; /* the envelope will not be either */
        post->cursors[index] = begin + len;
        message->nlost = count_lost(post, index, &envelope);
        message->topic = (struct str){post->scratch.ptr, envelope.topic_len};
        message->bytes = (struct str){post->scratch.ptr + envelope.topic_len, envelope.nbytes};
        return true;
    }
    return false;
}

bool mailbox_next(struct mailbox_post *post, struct mailbox_message *message)
{
    uint32_t nseats = atomic_load(&post->mailbox->head->nused);
    if (post->nwanted == 0)
        return false;
    for (uint32_t i = 0; i < nseats; i++) {
        uint32_t index = post->next_seat < nseats ? post->next_seat : 0;
        bool is_own = index == post->seat, is_found;
        if (is_own) /* threads of this process write it: no need to guess */
            pthread_mutex_lock(&post->lock);
        is_found = next_of(post, index, message);
        if (is_own)
            pthread_mutex_unlock(&post->lock);
        if (is_found)
            return true;
        post->next_seat = index + 1;
    }
    return false;
}
