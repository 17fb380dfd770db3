#include "shared/mailbox_state.h"

#include "base/mem.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { RING_BYTES = 2 << 20, RING_BYTES_MIN = 64 << 10, PAGE = 4096, RINGS_PER_LOOK = 100 };

/* ---- memory ---- */

static size_t rounded(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static size_t map_bytes(const struct mailbox *mailbox)
{
    return rounded(sizeof(struct mailbox_head)) +
           rounded(mailbox->nseats * sizeof(struct mailbox_seat)) +
           mailbox->nseats * mailbox->ring_bytes;
}

/* Behind the descriptor, or behind none. */
static void map_rings(struct mailbox *mailbox)
{
    size_t head = rounded(sizeof(struct mailbox_head));
    size_t seats = rounded(mailbox->nseats * sizeof(struct mailbox_seat));
    int how = MAP_SHARED | MAP_NORESERVE | (mailbox->fd < 0 ? MAP_ANONYMOUS : 0);
    mailbox->map_bytes = map_bytes(mailbox);
    char *map = mmap(NULL, mailbox->map_bytes, PROT_READ | PROT_WRITE, how, mailbox->fd, 0);
    if (map == MAP_FAILED)
        return;
    madvise(map, mailbox->map_bytes, MADV_DONTDUMP);
    mailbox->head = (struct mailbox_head *)map;
    mailbox->seats = (struct mailbox_seat *)(map + head);
    mailbox->rings = map + head + seats;
}

/* A file in memory has a length that may exceed a limit; without one the memory goes with us. */
static void size_file(struct mailbox *mailbox)
{
    if (mailbox->fd >= 0 && ftruncate(mailbox->fd, (off_t)map_bytes(mailbox)) != 0)
        mailbox_close_fd(mailbox);
}

struct mailbox *mailbox_new(uint32_t nseats)
{
    struct mailbox *mailbox = MEM_NEW(struct mailbox);
    mailbox->nseats = nseats;
    mailbox->ring_bytes = RING_BYTES;
    mailbox->fd = memfd_create("mailbox", MFD_CLOEXEC);
    size_file(mailbox);
    map_rings(mailbox);
    while (mailbox->head == NULL && mailbox->ring_bytes > RING_BYTES_MIN) {
        mailbox->ring_bytes /= 2;
        size_file(mailbox);
        map_rings(mailbox);
    }
    if (mailbox->head == NULL || getrandom(mailbox->head->key, sizeof(mailbox->head->key), 0) < 0) {
        int error = errno;
        mailbox_free(mailbox);
        errno = error;
        return NULL;
    }
    mailbox->head->layout = MAILBOX_LAYOUT;
    mailbox->head->nseats = nseats;
    mailbox->head->ring_bytes = mailbox->ring_bytes;
    return mailbox;
}

struct mailbox *mailbox_adopt(int fd, uint32_t nseats)
{
    struct mailbox_head head;
    struct stat info;
    struct mailbox *mailbox = MEM_NEW(struct mailbox);
    mailbox->fd = fd;
    mailbox->nseats = nseats;
    if (pread(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
        head.layout == MAILBOX_LAYOUT && head.nseats == nseats && head.ring_bytes <= RING_BYTES) {
        mailbox->ring_bytes = head.ring_bytes;
        if (fstat(fd, &info) == 0 && (size_t)info.st_size == map_bytes(mailbox))
            map_rings(mailbox);
    }
    if (mailbox->head != NULL)
        return mailbox;
    mailbox_free(mailbox);
    return NULL;
}

int mailbox_fd(const struct mailbox *mailbox)
{
    return mailbox->fd;
}

void mailbox_close_fd(struct mailbox *mailbox)
{
    if (mailbox->fd >= 0)
        close(mailbox->fd);
    mailbox->fd = -1;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (mailbox == NULL)
        return;
    if (mailbox->head != NULL)
        munmap(mailbox->head, mailbox->map_bytes);
    mailbox_close_fd(mailbox);
    free(mailbox);
}

void mailbox_clear_seat(struct mailbox *mailbox, uint32_t index)
{
    if (index >= atomic_load(&mailbox->head->nused))
        return; /* nobody has touched it: nor shall we, it would take memory */
    struct mailbox_seat *seat = &mailbox->seats[index];
    atomic_store(&seat->incarnation, 0);
    for (int i = 0; i < WORDS; i++)
        atomic_store(&seat->wants[i], 0);
    atomic_store(&seat->is_rung, 0);
}

char *mailbox_ring(const struct mailbox *mailbox, uint32_t seat)
{
    return mailbox->rings + seat * mailbox->ring_bytes;
}

/* FNV-1a */
uint32_t mailbox_bucket(struct str topic)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < topic.len; i++)
        hash = (hash ^ (uint8_t)topic.ptr[i]) * 16777619u;
    return (hash ^ hash >> 15) % MAILBOX_BUCKETS;
}

/* ---- bells ---- */

/* Abstract: it goes with the socket, however that ends, and needs no directory. */
static socklen_t bell_address(const struct mailbox *mailbox, uint32_t seat, uint32_t incarnation,
                              struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int len = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1,
                       "moonloop-%016llx%016llx-%u-%u", (unsigned long long)mailbox->head->key[0],
                       (unsigned long long)mailbox->head->key[1], seat, incarnation);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

void mailbox_ring_bell(struct mailbox_post *post, uint32_t index)
{
    struct mailbox_seat *seat = &post->mailbox->seats[index];
    struct sockaddr_un address;
    uint32_t incarnation = atomic_load(&seat->incarnation);
    if (incarnation == 0 || atomic_exchange(&seat->is_rung, 1) != 0)
        return;
    socklen_t len = bell_address(post->mailbox, index, incarnation, &address);
    ssize_t sent =
        sendto(post->bell_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address, len);
    /* A full queue has woken it already; another failure shall not keep others from trying. */
    if (sent < 0 && errno != EAGAIN)
        atomic_store(&seat->is_rung, 0);
}

void mailbox_ring_self(struct mailbox_post *post)
{
    mailbox_ring_bell(post, post->seat);
}

int mailbox_bell_fd(const struct mailbox_post *post)
{
    return post->bell_fd;
}

void mailbox_hush(struct mailbox_post *post)
{
    char bytes[16];
    int left = RINGS_PER_LOOK; /* a stranger may ring faster than we can listen */
    while (left-- > 0 && recv(post->bell_fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0)
        ;
    atomic_store(&post->mailbox->seats[post->seat].is_rung, 0);
    atomic_thread_fence(memory_order_seq_cst); /* what is written from now on rings */
}

/* ---- posts ---- */

static void note_used(struct mailbox_head *head, uint32_t seat)
{
    uint32_t nused = atomic_load(&head->nused);
    while (nused <= seat && !atomic_compare_exchange_weak(&head->nused, &nused, seat + 1))
        ;
}

struct mailbox_post *mailbox_open(struct mailbox *mailbox, uint32_t seat)
{
    ENSURE(seat < mailbox->nseats);
    struct sockaddr_un address;
    uint32_t incarnation = 0;
    while (incarnation == 0)
        incarnation = atomic_fetch_add(&mailbox->head->incarnations, 1) + 1;
    socklen_t len = bell_address(mailbox, seat, incarnation, &address);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        errno = error;
        return NULL;
    }
    struct mailbox_post *post = MEM_NEW(struct mailbox_post);
    post->mailbox = mailbox;
    post->seat = seat;
    post->bell_fd = fd;
    post->cursors = mem_zeroed(mailbox->nseats * sizeof(*post->cursors));
    atomic_init(&post->nrefs, 1);
    pthread_mutex_init(&post->lock, NULL);
    note_used(mailbox->head, seat);
    struct mailbox_seat *own = &mailbox->seats[seat];
    /* Its last one may have been killed in mid-write. */
    atomic_store(&own->reserved, atomic_load(&own->committed));
    atomic_store(&own->incarnation, incarnation);
    return post;
}

struct mailbox_post *mailbox_open_alone(void)
{
    struct mailbox *mailbox = mailbox_new(1);
    struct mailbox_post *post = mailbox != NULL ? mailbox_open(mailbox, 0) : NULL;
    if (post == NULL) {
        int error = errno;
        mailbox_free(mailbox);
        errno = error;
        return NULL;
    }
    post->own_mailbox = mailbox;
    return post;
}

struct mailbox_post *mailbox_ref(struct mailbox_post *post)
{
    if (post != NULL)
        atomic_fetch_add(&post->nrefs, 1);
    return post;
}

void mailbox_unref(struct mailbox_post *post)
{
    if (post == NULL || atomic_fetch_sub(&post->nrefs, 1) != 1)
        return;
    mailbox_clear_seat(post->mailbox, post->seat);
    close(post->bell_fd);
    for (uint32_t i = 0; i < MAILBOX_BUCKETS; i++)
        free(post->counted[i]);
    pthread_mutex_destroy(&post->lock);
    buf_deinit(&post->scratch);
    free(post->cursors);
    mailbox_free(post->own_mailbox);
    free(post);
}

/* ---- writing ---- */

uint64_t mailbox_max_bytes(const struct mailbox_post *post)
{
    uint64_t half =
        post->mailbox->ring_bytes / 2 - MAILBOX_TOPIC_BYTES - sizeof(struct mailbox_envelope);
    return half < MAILBOX_MESSAGE_BYTES ? half : MAILBOX_MESSAGE_BYTES;
}

static bool wants(struct mailbox *mailbox, uint32_t seat, uint32_t bucket)
{
    uint64_t word = atomic_load(&mailbox->seats[seat].wants[bucket / 64]);
    return (word >> bucket % 64 & 1) != 0;
}

static bool is_target(const struct mailbox_post *post, uint32_t seat, enum mailbox_reach reach)
{
    return reach == MAILBOX_ALL || seat != post->seat;
}

static void put(struct mailbox *mailbox, uint32_t seat, uint64_t *position, const void *bytes,
                size_t len)
{
    char *ring = mailbox_ring(mailbox, seat);
    size_t at = *position % mailbox->ring_bytes, first = mailbox->ring_bytes - at;
    if (first > len)
        first = len;
    memcpy(ring + at, bytes, first);
    memcpy(ring, (const char *)bytes + first, len - first);
    *position += len;
}

/* Readers see it whole or not at all: what they copied counts only if `reserved` says, afterwards,
 * that nobody wrote there meanwhile. */
static void put_message(struct mailbox_post *post, const struct mailbox_envelope *envelope,
                        struct str topic, struct str bytes)
{
    struct mailbox *mailbox = post->mailbox;
    struct mailbox_seat *seat = &mailbox->seats[post->seat];
    uint64_t position = atomic_load_explicit(&seat->committed, memory_order_relaxed);
    uint64_t segment_bytes = mailbox->ring_bytes / MARKS;
    uint64_t total = sizeof(*envelope) + topic.len + bytes.len, begin = position;
    atomic_store_explicit(&seat->reserved, begin + total, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    put(mailbox, post->seat, &position, envelope, sizeof(*envelope));
    put(mailbox, post->seat, &position, topic.ptr, topic.len);
    put(mailbox, post->seat, &position, bytes.ptr, bytes.len);
    _Atomic uint64_t *mark = &seat->marks[begin / segment_bytes % MARKS];
    if (begin == 0 ||
        atomic_load_explicit(mark, memory_order_relaxed) / segment_bytes != begin / segment_bytes)
        atomic_store_explicit(mark, begin, memory_order_relaxed);
    atomic_store_explicit(&seat->committed, begin + total, memory_order_release);
}

int mailbox_send(struct mailbox_post *post, struct str topic, struct str bytes,
                 enum mailbox_reach reach)
{
    struct mailbox *mailbox = post->mailbox;
    uint32_t bucket = mailbox_bucket(topic), nseats = atomic_load(&mailbox->head->nused);
    uint32_t first = 0;
    if (topic.len > MAILBOX_TOPIC_BYTES || bytes.len > mailbox_max_bytes(post))
        return -EMSGSIZE;
    while (first < nseats && !(is_target(post, first, reach) && wants(mailbox, first, bucket)))
        first++;
    if (first == nseats)
        return 0;
    pthread_mutex_lock(&post->lock);
    _Atomic uint32_t *count = &mailbox->seats[post->seat].counts[reach][bucket];
    struct mailbox_envelope envelope = {
        .magic = MAGIC,
        .nbytes = (uint32_t)bytes.len,
        .count = atomic_fetch_add(count, 1) + 1,
        .bucket = (uint16_t)bucket,
        .topic_len = (uint8_t)topic.len,
        .reach = (uint8_t)reach,
    };
    put_message(post, &envelope, topic, bytes);
    pthread_mutex_unlock(&post->lock);
    atomic_thread_fence(memory_order_seq_cst); /* before we look whether a bell is to be rung */
    for (uint32_t seat = first; seat < nseats; seat++)
        if (is_target(post, seat, reach) && wants(mailbox, seat, bucket))
            mailbox_ring_bell(post, seat);
    return 0;
}
