#include "shared/dict_cell.h"

#include <string.h>
#include <time.h>

#define FROZEN (UINT64_C(1) << 63)

_Static_assert(sizeof(struct dict_cell) == DICT_CELL_BYTES, "a cell fills a cache line");

enum { FIRST_BACKOFF = 16, LAST_BACKOFF = 256 };

/* The low half is the double's bits, the high half the serial: as the struct has them in memory. */
#if (defined(__x86_64__) || defined(__aarch64__)) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
typedef unsigned __int128 pair;

bool dict_cell_is_supported(void)
{
    return true;
}

#if defined(__x86_64__)
#define WIDE_SWAP __attribute__((target("cx16"), no_sanitize("thread")))
#else
#define WIDE_SWAP __attribute__((no_sanitize("thread")))
#endif

/* A thread sanitizer would do it under a lock that other processes do not have. */
WIDE_SWAP static bool swap_pair(struct dict_cell *cell, uint64_t bits, uint64_t serial,
                                uint64_t new_bits, uint64_t new_serial)
{
    return __sync_bool_compare_and_swap((pair *)(void *)cell, ((pair)serial << 64) | bits,
                                        ((pair)new_serial << 64) | new_bits);
}
#else
bool dict_cell_is_supported(void)
{
    return false; /* then no cell is ever started, and numbers stay in LMDB */
}

static bool swap_pair(struct dict_cell *cell, uint64_t bits, uint64_t serial, uint64_t new_bits,
                      uint64_t new_serial)
{
    return false;
}
#endif

static void pause_briefly(unsigned turns)
{
    for (volatile unsigned i = 0; i < turns; i++) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

static double to_number(uint64_t bits)
{
    double number;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

static uint64_t to_bits(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    return bits;
}

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

uint64_t dict_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool has_expired(const struct dict_cell *cell)
{
    uint64_t expiry_ms = load(&cell->expiry_ms);
    return expiry_ms != 0 && dict_now_ms() >= expiry_ms;
}

int dict_counter_add(const struct dict_counter *counter, double by, double *result)
{
    struct dict_cell *cell = counter->cell;
    if (has_expired(cell))
        return 1;
    for (unsigned backoff = FIRST_BACKOFF; load(&cell->serial) == counter->serial;) {
        uint64_t bits = load(&cell->bits);
        double sum = to_number(bits) + by;
        if (sum != sum)
            return 1;
        if (swap_pair(cell, bits, counter->serial, to_bits(sum), counter->serial)) {
            if (atomic_load_explicit(&cell->is_touched, memory_order_relaxed) == 0)
                atomic_store_explicit(&cell->is_touched, 1, memory_order_relaxed);
            *result = sum;
            return 0;
        }
        /* Whoever was first does several at once while the others let go of the cache line. */
        pause_briefly(backoff);
        backoff = backoff < LAST_BACKOFF ? backoff * 2 : backoff;
    }
    return 1;
}

int dict_counter_get(const struct dict_counter *counter, double *result)
{
    if (has_expired(counter->cell) || load(&counter->cell->serial) != counter->serial)
        return 1;
    *result = to_number(load(&counter->cell->bits));
    return load(&counter->cell->serial) == counter->serial ? 0 : 1;
}

void dict_cell_start(struct dict_cell *cell, uint64_t serial, double value, uint64_t expiry_ms)
{
    __atomic_store_n(&cell->expiry_ms, expiry_ms, __ATOMIC_RELEASE);
    __atomic_store_n(&cell->bits, to_bits(value), __ATOMIC_RELEASE);
    atomic_store_explicit(&cell->is_touched, 1, memory_order_relaxed);
    __atomic_store_n(&cell->serial, serial, __ATOMIC_RELEASE);
}

void dict_cell_free(struct dict_cell *cell)
{
    __atomic_store_n(&cell->serial, 0, __ATOMIC_RELEASE);
}

bool dict_cell_read(const struct dict_cell *cell, uint64_t serial, double *value)
{
    if ((load(&cell->serial) & ~FROZEN) != serial)
        return false;
    *value = to_number(load(&cell->bits));
    return (load(&cell->serial) & ~FROZEN) == serial;
}

bool dict_cell_freeze(struct dict_cell *cell, uint64_t serial, double *value)
{
    while ((load(&cell->serial) & ~FROZEN) == serial) {
        uint64_t bits = load(&cell->bits);
        if (load(&cell->serial) == (serial | FROZEN) ||
            swap_pair(cell, bits, serial, bits, serial | FROZEN)) {
            *value = to_number(bits);
            return true;
        }
    }
    return false;
}

void dict_cell_thaw(struct dict_cell *cell, uint64_t serial)
{
    if (load(&cell->serial) == (serial | FROZEN))
        __atomic_store_n(&cell->serial, serial, __ATOMIC_RELEASE);
}
