/*
 * dict_counter.h - adding to a counter of the shared dictionary without its lock: what Lua calls by
 * FFI.
 *
 * A counter is a cell in memory that all processes map. Its number and the serial of the entry it
 * belongs to change together, in one 16-byte compare-and-swap; a serial is never used again, so a
 * counter that was kept too long is noticed and never adds to another's number.
 */
#pragma once

#include <stdint.h>

struct dict_cell;

struct dict_counter {
    struct dict_cell *cell; /* NULL: none */
    uint64_t serial;
};

/* 0: done, the new number is in `result`. 1: not this way, ask dict_incr. */
int dict_counter_add(const struct dict_counter *counter, double by, double *result);
/* 0: the number is in `result`. 1: not this way, ask dict_get. */
int dict_counter_get(const struct dict_counter *counter, double *result);
