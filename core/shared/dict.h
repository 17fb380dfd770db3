/*
 * dict.h - the dictionary that all processes of a server share: keys and values in LMDB, counters
 * in cells beside it, leases.
 *
 * One per process, opened at its first use and never closed while the process lives (LMDB cannot
 * have one file open twice in a process). A process that forks after that leaves its child without
 * one: the child opens it anew. Every function may be called on any thread. Readers take no lock.
 * Writers take one that outlives nobody: who is killed while he holds it loses what he had not been
 * told was done, and nothing else. A writer waits at most DICT_PATIENCE_MS for another.
 *
 * Functions return 0 or more, or less than 0: -ENOSPC full, -E2BIG too large, -EDOM there is no
 * number to add to, -ERANGE the sum is none, -ETIMEDOUT another process holds it, else what
 * dict_strerror explains.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "base/str.h"
#include "shared/dict_counter.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    DICT_KEY_BYTES = 511, /* name, a NUL, key */
    DICT_NAME_BYTES = 64,
    DICT_PATIENCE_MS = 5000,
    DICT_LARGEST_SHARE = 4, /* a value takes at most a quarter of the limit */
};

/* As it is written into the file: do not renumber. */
enum dict_type {
    DICT_NONE,
    DICT_FALSE,
    DICT_TRUE,
    DICT_NUMBER,
    DICT_STRING,
    DICT_TABLE,   /* bytes that Lua encoded */
    DICT_COUNTER, /* inside only: the number is in a cell */
};

struct dict;

struct dict_key {
    uint32_t len;
    char bytes[DICT_KEY_BYTES];
};

struct dict_value {
    enum dict_type type;
    double number;
    struct str bytes; /* DICT_STRING, DICT_TABLE */
};

/* How long an entry lives from now, in milliseconds of the wall clock. */
enum { DICT_FOREVER = 0, DICT_KEEP_TTL = -1 };

struct dict_terms {
    int64_t ttl_ms;
    bool is_pinned; /* never evicted */
};

struct dict_stats {
    uint64_t limit_bytes;
    uint64_t used_bytes; /* keys, values and what it takes to keep them */
    uint64_t entries;    /* expired ones that nobody has removed yet among them */
    uint64_t counters;   /* of these, with a cell */
    uint64_t evicted;    /* since the directory was made */
    uint64_t expired;
    uint64_t recovered; /* how often a process died in the middle of a write */
};

/* Opens it at the first call. NULL with the reason in `fault`. */
struct dict *dict_open(struct fault *fault);
/* Opens, looks and closes: for a process that is going to fork. False with the reason. */
bool dict_check(struct fault *fault);
const char *dict_strerror(int status);

/* False when name, NUL and key are too long together. */
bool dict_key_set(struct dict_key *key, struct str name, struct str text);

struct dict_found {
    struct dict_value value;
    int64_t left_ms;             /* until it expires, -1 for never */
    struct dict_counter counter; /* for dict_counter_get; a NULL cell when it is none */
};

/* 1 and the value, whose bytes are in `bytes`; 0: absent or expired. */
int dict_get(struct dict *dict, const struct dict_key *key, struct dict_found *found,
             struct buf *bytes);
int dict_set(struct dict *dict, const struct dict_key *key, const struct dict_value *value,
             const struct dict_terms *terms);
/* 1: set. 0: there was one already. */
int dict_add(struct dict *dict, const struct dict_key *key, const struct dict_value *value,
             const struct dict_terms *terms);
/* 1: replaced. 0: there was something else than `expected`. DICT_NONE is absent, on both sides. */
int dict_cas(struct dict *dict, const struct dict_key *key, const struct dict_value *expected,
             const struct dict_value *value, const struct dict_terms *terms);
/* Adds `by` to a number; to `initial` when there is none, with these terms. `counter` gets what
 * dict_counter_add needs, or a NULL cell. */
int dict_incr(struct dict *dict, const struct dict_key *key, double by, double initial,
              const struct dict_terms *terms, double *result, struct dict_counter *counter);
/* 1: there was one. */
int dict_delete(struct dict *dict, const struct dict_key *key);
/* Appends up to `limit` keys that begin with `prefix` (name, NUL, text), in order of their bytes: a
 * uint16_t length and the text behind the NUL each. Returns how many. */
int dict_keys(struct dict *dict, const struct dict_key *prefix, uint32_t limit, struct buf *list);
/* Removes all that begin with `prefix`. */
int dict_clear(struct dict *dict, const struct dict_key *prefix);
int dict_stats(struct dict *dict, struct dict_stats *stats);
/* Removes what has expired, all of it, and what dead processes left. For specs and for idle time.
 */
int dict_sweep(struct dict *dict);
