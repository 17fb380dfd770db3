#include "shared/address_table.h"

#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

enum { GROUP_PLACES = 8, MIN_GROUPS = 64, MAX_GROUPS = 1 << 16 };

struct place {
    _Atomic uint64_t words[2]; /* the address */
    _Atomic uint32_t count;    /* 0: free */
};

struct seat {
    _Atomic uint32_t connections; /* 0: nothing to be read behind it */
    struct place places[];
};

struct address_table {
    uint32_t nseats;
    uint32_t ngroups; /* of a seat; a power of two */
    uint64_t key[2];
    size_t seat_bytes;
    char *map;
};

static struct seat *seat_at(const struct address_table *table, uint32_t seat)
{
    ENSURE(seat < table->nseats);
    return (struct seat *)(table->map + seat * table->seat_bytes);
}

struct address_table *address_table_new(uint32_t nseats, uint32_t max_connections)
{
    struct address_table *table = MEM_NEW(struct address_table);
    table->nseats = nseats;
    table->ngroups = MIN_GROUPS;
    while (table->ngroups < MAX_GROUPS &&
           (uint64_t)table->ngroups * GROUP_PLACES < 4ull * max_connections)
        table->ngroups *= 2;
    size_t bytes =
        sizeof(struct seat) + (size_t)table->ngroups * GROUP_PLACES * sizeof(struct place);
    table->seat_bytes = (bytes + 4095) & ~(size_t)4095; /* whole pages, for the clearing */
    table->map = mmap(NULL, nseats * table->seat_bytes, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table->map == MAP_FAILED ||
        getrandom(table->key, sizeof(table->key), 0) != sizeof(table->key)) {
        free(table);
        return NULL;
    }
    return table;
}

void address_table_free(struct address_table *table)
{
    if (table == NULL)
        return;
    munmap(table->map, table->nseats * table->seat_bytes);
    free(table);
}

void address_table_clear_seat(struct address_table *table, uint32_t seat)
{
    struct seat *gone = seat_at(table, seat);
    if (atomic_load(&gone->connections) == 0)
        return;
    if (madvise(gone, table->seat_bytes, MADV_REMOVE) != 0)
        memset(gone, 0, table->seat_bytes);
}

static uint64_t mix(uint64_t word)
{
    word = (word ^ word >> 32) * 0xd6e8feb86659fd93u;
    word = (word ^ word >> 32) * 0xd6e8feb86659fd93u;
    return word ^ word >> 32;
}

static uint32_t group_of(const struct address_table *table, const uint64_t words[2])
{
    uint64_t hash = mix(mix(words[0] ^ table->key[0]) + (words[1] ^ table->key[1]));
    return ((uint32_t)(hash >> 32) & (table->ngroups - 1)) * GROUP_PLACES;
}

static uint64_t load64(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint32_t load32(const _Atomic uint32_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

/* The address's own place in this group, or NULL; `free` becomes one that nobody has, or NULL. */
static struct place *find(struct seat *seat, uint32_t group, const uint64_t words[2],
                          struct place **free)
{
    *free = NULL;
    for (uint32_t i = 0; i < GROUP_PLACES; i++) {
        struct place *place = &seat->places[group + i];
        if (load32(&place->count) == 0)
            *free = place;
        else if (load64(&place->words[0]) == words[0] && load64(&place->words[1]) == words[1])
            return place;
    }
    return NULL;
}

static void add_to(_Atomic uint32_t *count, uint32_t more)
{
    atomic_store_explicit(count, load32(count) + more, memory_order_relaxed);
}

uint32_t address_table_add(struct address_table *table, uint32_t seat,
                           const uint8_t address[ADDRESS_BYTES])
{
    uint64_t words[2];
    struct place *free;
    memcpy(words, address, sizeof(words));
    struct seat *own = seat_at(table, seat);
    struct place *place = find(own, group_of(table, words), words, &free);
    if (place == NULL && free == NULL)
        return ADDRESS_TABLE_NONE;
    if (place == NULL) {
        place = free;
        atomic_store_explicit(&place->words[0], words[0], memory_order_relaxed);
        atomic_store_explicit(&place->words[1], words[1], memory_order_relaxed);
    }
    add_to(&place->count, 1);
    add_to(&own->connections, 1);
    return (uint32_t)(place - own->places) + 1;
}

void address_table_drop(struct address_table *table, uint32_t seat, uint32_t place)
{
    if (place == ADDRESS_TABLE_NONE)
        return;
    struct seat *own = seat_at(table, seat);
    add_to(&own->places[place - 1].count, (uint32_t)-1);
    add_to(&own->connections, (uint32_t)-1);
}

uint32_t address_table_count(const struct address_table *table,
                             const uint8_t address[ADDRESS_BYTES])
{
    uint64_t words[2];
    struct place *free;
    uint32_t count = 0;
    memcpy(words, address, sizeof(words));
    uint32_t group = group_of(table, words);
    for (uint32_t i = 0; i < table->nseats; i++) {
        struct seat *seat = seat_at(table, i);
        if (load32(&seat->connections) == 0)
            continue;
        struct place *place = find(seat, group, words, &free);
        count += place != NULL ? load32(&place->count) : 0;
    }
    return count;
}
