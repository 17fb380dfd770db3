/*
 * dict_parts.h - what the files of the dictionary share: the open environment, the state that all
 * processes map, and how a change is carried out.
 *
 * In the directory: data.mdb and lock.mdb are LMDB's; `state` has the lock, the settings and sums,
 * and behind its first page the cells. Whoever opens it while nobody else has it open makes the
 * lock anew (flock on `state` tells), so that one left by a crash of the machine holds nobody up.
 *
 * The lock comes before LMDB's own, which has no time limit; it is robust, as LMDB's is.
 */
#pragma once

#include "shared/dict.h"
#include "shared/dict_cell.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    DICT_STATE_BYTES = 4096,
    DICT_CELLS_CHUNK = 1024, /* so many get memory at a time: a full tmpfs is an error, no SIGBUS */
    DICT_PAGE_BYTES = 4096,
    DICT_RESERVE_BYTES =
        160 << 10,   /* of pages: more than a transaction takes that removes a batch */
    DICT_BATCH = 16, /* entries that one step of the hand looks at */
};

/* The first page of `state`. All but the mutex is read and written under it. */
struct dict_state {
    char magic[8];
    uint32_t version;
    uint32_t is_synced;     /* a write ends when it is on the disk; then there are no cells */
    uint32_t is_starved;    /* the file system is full: a third of data.mdb is the limit */
    uint32_t needs_recount; /* somebody died with the lock: sums and cells may be wrong */
    pthread_mutex_t mutex;
    uint64_t limit_bytes;
    uint64_t used_bytes;
    uint64_t file_bytes; /* of data.mdb, that have memory or a place on the disk */
    uint64_t evicted;
    uint64_t expired;
    uint64_t recovered;   /* how often somebody died with the lock */
    uint64_t next_serial; /* of cells; never used twice */
    uint64_t next_token;  /* of leases; only grows */
    uint32_t ncells;      /* that have memory */
    uint32_t max_cells;   /* that are mapped */
    uint32_t used_cells;
    uint32_t cell_hint;   /* where to look for a free one */
    struct dict_key hand; /* where eviction goes on */
};

struct dict {
    MDB_env *env;
    MDB_dbi entries;
    MDB_dbi leases;
    struct dict_state *state;
    struct dict_cell *cells;
    uint64_t mapped_bytes;
    int state_fd;
    uint32_t nwrites; /* by this process; under the lock */
};

/* A record is this, then a double for numbers and counters, then for counters the cell's index and
 * serial (uint64_t each); or the bytes. */
struct dict_head {
    uint64_t stamp; /* of the transaction that wrote it: they only grow */
    uint64_t expiry_ms;
    uint8_t type;
    uint8_t is_pinned;
    uint8_t zero[6];
};

/* An entry as found; borrowed from the transaction. */
struct dict_entry {
    bool has_record; /* perhaps an expired one */
    bool is_present;
    struct dict_head head;
    double number;
    uint32_t cell; /* of a counter */
    uint64_t serial;
    struct str bytes;
    uint64_t cost;
};

/* ---- dict_env.c ---- */

/* Memory or a place on the disk for these bytes of a file: 0 or an errno. */
int dict_allocate(int fd, uint64_t from, uint64_t bytes);
MDB_txn *dict_reader(struct dict *dict, int *status);  /* this thread's */
void dict_reader_end(struct dict *dict, MDB_txn *txn); /* what it showed may be written again */
bool dict_readers_prepare(void);
void dict_readers_forget(void);
int dict_lock(struct dict *dict);
void dict_unlock(struct dict *dict);
int dict_status(int code); /* LMDB's or the system's to ours */
/* A cell for an entry, started; NULL when none is to be had. */
struct dict_cell *dict_cell_take(struct dict *dict, double value, uint64_t expiry_ms);
void dict_cell_give(struct dict *dict, struct dict_cell *cell);

/* Makes sure that the pages of a transaction which adds `need` bytes exist: beyond them, writing to
 * the map would be a SIGBUS. Leaves something for those that only remove; urgent ones take half of
 * that. */
int dict_reserve(struct dict *dict, uint64_t need, bool is_urgent);

/* ---- dict_change.c ---- */

/* One transaction under the lock. `apply` sees it begun and may run again when there was no room.
 */
struct dict_change {
    struct dict *dict;
    MDB_txn *txn;
    int (*apply)(struct dict_change *change);
    uint64_t need;  /* bytes that it may add */
    bool is_urgent; /* room was made for it: it may use what is reserved */
    int64_t growth; /* bytes that it has added; set by apply */
    bool is_dirty;  /* to be committed */
    uint32_t nfrozen;
    struct dict_cell *frozen[DICT_BATCH]; /* given back after the commit, thawed otherwise */
    uint64_t serials[DICT_BATCH];
    struct dict_cell *fresh; /* given back unless committed */
};

/* Takes the lock, makes room, applies, commits. What apply returned, or an error. */
int dict_change_run(struct dict *dict, struct dict_change *change);
/* The same for one who has the lock and needs no room. */
int dict_change_attempt(struct dict *dict, struct dict_change *change);
MDB_val dict_val(const struct dict_key *key);
uint64_t dict_cost(size_t key_bytes, size_t data_bytes, uint8_t type);
void dict_entry_read(MDB_val key, MDB_val data, uint64_t now_ms, struct dict_entry *entry);
/* Freezes the cell of a counter: its number is final, `entry->number`. */
void dict_entry_settle(struct dict_change *change, struct dict_entry *entry);

/* ---- dict_sweep.c ---- */

int dict_make_room(struct dict *dict, uint64_t need);
int dict_evict(struct dict *dict);       /* some; 0: nothing can go */
void dict_sweep_some(struct dict *dict); /* expired ones near the hand */
int dict_recount(struct dict *dict);
