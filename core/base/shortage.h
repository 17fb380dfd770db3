/*
 * shortage.h - memory that is refused on purpose, so that specs see what becomes of a request then.
 *
 * Only in builds for tests (CMake's STRESS and SANITIZE); in others nothing is ever refused and no
 * code is left of it. A spec arms it from outside: the file that SHORTAGE_FILE names holds one
 * struct shortage, mapped by every process of the server.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct shortage {
    _Atomic uint64_t pid;     /* of the process whose allocations count; 0: none do */
    _Atomic uint64_t from;    /* the first that is refused, from 1 */
    _Atomic uint64_t count;   /* so many are refused, one after the other */
    _Atomic uint64_t seen;    /* allocations up to now */
    _Atomic uint64_t refused; /* of these */
    _Atomic uint64_t traced;  /* 1: where it was refused goes to standard error */
};

enum shortage_kind {
    SHORTAGE_OURS, /* has the reserve behind it: one in SHORTAGE_EVERY is refused under STRESS */
    SHORTAGE_ANY,
};

#ifdef SHORTAGE
/* Whether the allocation that is about to be made is to fail. Any thread. */
bool shortage_strikes(enum shortage_kind kind);
/* Whether this is a build with STRESS, where some are refused at all times. */
bool shortage_is_regular(void);
#else
static inline bool shortage_strikes(enum shortage_kind kind)
{
    return false;
}
#endif
