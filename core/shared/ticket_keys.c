/*
 * A turn is announced by an odd number before and an even one behind it: who has read meanwhile
 * reads again. The master may be killed in the middle: then readers give up after some tries, and
 * handshakes go without tickets.
 */
#include "shared/ticket_keys.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

enum { TRIES = 1000, WORDS = TICKET_KEY_BYTES / 8 };

struct ticket_keys {
    _Atomic uint64_t turn;
    _Atomic uint64_t words[TICKET_KEYS][WORDS]; /* the newest first; all 0: none yet */
};

struct ticket_keys *ticket_keys_new(void)
{
    struct ticket_keys *keys =
        mmap(NULL, sizeof(*keys), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (keys == MAP_FAILED)
        return NULL;
    madvise(keys, sizeof(*keys), MADV_DONTDUMP);
    int status = ticket_keys_turn(keys);
    if (status == 0)
        return keys;
    ticket_keys_free(keys);
    errno = -status;
    return NULL;
}

void ticket_keys_free(struct ticket_keys *keys)
{
    if (keys != NULL)
        munmap(keys, sizeof(*keys));
}

int ticket_keys_turn(struct ticket_keys *keys)
{
    uint64_t fresh[WORDS];
    if (getrandom(fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh))
        return -errno;
    fresh[0] |= 1; /* not all 0 */
    uint64_t turn = atomic_load_explicit(&keys->turn, memory_order_relaxed);
    atomic_store_explicit(&keys->turn, turn + 1, memory_order_seq_cst);
    for (int i = TICKET_KEYS - 1; i > 0; i--)
        for (int word = 0; word < WORDS; word++)
            atomic_store(&keys->words[i][word], atomic_load(&keys->words[i - 1][word]));
    for (int word = 0; word < WORDS; word++)
        atomic_store(&keys->words[0][word], fresh[word]);
    atomic_store_explicit(&keys->turn, turn + 2, memory_order_seq_cst);
    explicit_bzero(fresh, sizeof(fresh));
    return 0;
}

/* False when a turn came in between. */
static bool try_copy(const struct ticket_keys *keys, uint64_t copy[TICKET_KEYS][WORDS])
{
    uint64_t turn = atomic_load(&keys->turn);
    for (int i = 0; i < TICKET_KEYS; i++)
        for (int word = 0; word < WORDS; word++)
            copy[i][word] = atomic_load(&keys->words[i][word]);
    return turn % 2 == 0 && atomic_load(&keys->turn) == turn;
}

bool ticket_keys_find(const struct ticket_keys *keys, const uint8_t *name,
                      uint8_t key[TICKET_KEY_BYTES], bool *is_newest)
{
    uint64_t copy[TICKET_KEYS][WORDS];
    bool is_copied = false, is_found = false;
    for (int i = 0; i < TRIES && !is_copied; i++)
        is_copied = try_copy(keys, copy);
    for (int i = 0; is_copied && !is_found && i < TICKET_KEYS; i++) {
        is_found =
            copy[i][0] != 0 && (name == NULL || memcmp(copy[i], name, TICKET_KEY_NAME_BYTES) == 0);
        *is_newest = i == 0;
        if (is_found)
            memcpy(key, copy[i], TICKET_KEY_BYTES);
    }
    explicit_bzero(copy, sizeof(copy));
    return is_found;
}
