/*
 * dict_cell.h - the cells of counters, inside the dictionary's room.
 *
 * Cells are taken, frozen and given back by whoever holds the dictionary's lock; adding and reading
 * need none. A frozen cell still has its number but takes no more: its entry is being replaced.
 */
#pragma once

#include "shared/dict_counter.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { DICT_CELL_BYTES = 64 }; /* a cache line: counters do not slow each other down */

struct dict_cell {
    alignas(16) uint64_t bits;   /* of the double */
    uint64_t serial;             /* 0: free. The highest bit: frozen */
    uint64_t expiry_ms;          /* wall clock, 0 never; set before the serial, then constant */
    _Atomic uint32_t is_touched; /* added to since eviction came by */
    char padding[DICT_CELL_BYTES - 28];
};

/* Whether this processor can do it at all. */
bool dict_cell_is_supported(void);
void dict_cell_start(struct dict_cell *cell, uint64_t serial, double value, uint64_t expiry_ms);
void dict_cell_free(struct dict_cell *cell);
/* False: it is another entry's. */
bool dict_cell_read(const struct dict_cell *cell, uint64_t serial, double *value);
/* From now on nobody adds. False: it is another entry's. */
bool dict_cell_freeze(struct dict_cell *cell, uint64_t serial, double *value);
void dict_cell_thaw(struct dict_cell *cell, uint64_t serial);
uint64_t dict_now_ms(void); /* wall clock, a few milliseconds coarse */
