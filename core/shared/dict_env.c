/*
 * What a process does with an open dictionary: the lock, readers, memory for cells and pages.
 */
#include "shared/dict_parts.h"

#include "base/thread_sanitizer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

enum {
    SPINS = 200,
    GROWTH_BYTES = 256 << 10,
    RESERVE_BYTES = 512 << 10, /* behind the last page, so that a full one can be emptied */
};

static pthread_key_t reader_key;
static _Thread_local MDB_txn *reader;

const char *dict_strerror(int status)
{
    return status > -30000 ? strerror(-status) : mdb_strerror(status);
}

int dict_status(int code)
{
    if (code == MDB_MAP_FULL || code == ENOSPC || code == EDQUOT || code == EIO)
        return -ENOSPC; /* EIO: LMDB's word for a short write */
    return code > 0 ? -code : code;
}

/* ---- the lock ---- */

#ifdef __SANITIZE_THREAD__ /* it does not know pthread_mutex_clocklock */
static const clockid_t PATIENCE_CLOCK = CLOCK_REALTIME;
#else
static const clockid_t PATIENCE_CLOCK = CLOCK_MONOTONIC;
#endif

static int wait_for_mutex(pthread_mutex_t *mutex)
{
    int status = EBUSY;
    for (int i = 0; i < SPINS && status == EBUSY; i++)
        status = pthread_mutex_trylock(mutex);
    if (status != EBUSY)
        return status;
    struct timespec until;
    clock_gettime(PATIENCE_CLOCK, &until);
    until.tv_sec += DICT_PATIENCE_MS / 1000;
#ifdef __SANITIZE_THREAD__
    return pthread_mutex_timedlock(mutex, &until);
#else
    return pthread_mutex_clocklock(mutex, PATIENCE_CLOCK, &until);
#endif
}

int dict_lock(struct dict *dict)
{
    int status = wait_for_mutex(&dict->state->mutex);
    if (status == EOWNERDEAD) {
        pthread_mutex_consistent(&dict->state->mutex);
        dict->state->needs_recount = 1;
        dict->state->recovered++;
        status = 0;
    }
    if (status != 0)
        return -status;
    if (dict->state->needs_recount && (status = dict_recount(dict)) < 0)
        pthread_mutex_unlock(&dict->state->mutex);
    return status;
}

void dict_unlock(struct dict *dict)
{
    pthread_mutex_unlock(&dict->state->mutex);
}

/* ---- readers ---- */

static void on_thread_end(void *txn)
{
    mdb_txn_abort(txn);
}

bool dict_readers_prepare(void)
{
    return pthread_key_create(&reader_key, on_thread_end) == 0;
}

void dict_readers_forget(void)
{
    reader = NULL;
}

MDB_txn *dict_reader(struct dict *dict, int *status)
{
    int code = 0;
    if (reader != NULL) {
        code = mdb_txn_renew(reader);
    } else {
        code = mdb_txn_begin(dict->env, NULL, MDB_RDONLY, &reader);
        if (code == MDB_READERS_FULL) {
            mdb_reader_check(dict->env, NULL);
            code = mdb_txn_begin(dict->env, NULL, MDB_RDONLY, &reader);
        }
        if (code == 0)
            pthread_setspecific(reader_key, reader);
        else
            reader = NULL;
    }
    ordered_after(&dict->env); /* what it shows has been written */
    *status = dict_status(code);
    return code == 0 ? reader : NULL;
}

void dict_reader_end(struct dict *dict, MDB_txn *txn)
{
    ordered_before(&dict->entries);
    mdb_txn_reset(txn);
}

/* ---- cells ---- */

int dict_allocate(int fd, uint64_t from, uint64_t bytes)
{
    int status;
    do /* tmpfs stops for any signal, a tick of the profiler too */
        status = posix_fallocate(fd, (off_t)from, (off_t)bytes);
    while (status == EINTR);
    return status;
}

static bool grow_cells(struct dict *dict)
{
    struct dict_state *state = dict->state;
    if (!dict_cell_is_supported() || state->ncells + DICT_CELLS_CHUNK > state->max_cells)
        return false;
    uint64_t from = DICT_STATE_BYTES + (uint64_t)state->ncells * DICT_CELL_BYTES;
    if (dict_allocate(dict->state_fd, from, (uint64_t)DICT_CELLS_CHUNK * DICT_CELL_BYTES) != 0)
        return false;
    state->cell_hint = state->ncells;
    state->ncells += DICT_CELLS_CHUNK;
    return true;
}

struct dict_cell *dict_cell_take(struct dict *dict, double value, uint64_t expiry_ms)
{
    struct dict_state *state = dict->state;
    if (state->is_synced || (state->used_cells >= state->ncells && !grow_cells(dict)))
        return NULL;
    for (uint32_t i = 0; i < state->ncells; i++) {
        struct dict_cell *cell = &dict->cells[(state->cell_hint + i) % state->ncells];
        if (cell->serial != 0)
            continue;
        state->cell_hint = (uint32_t)(cell - dict->cells) + 1;
        state->used_cells++;
        dict_cell_start(cell, state->next_serial++, value, expiry_ms);
        return cell;
    }
    return NULL;
}

void dict_cell_give(struct dict *dict, struct dict_cell *cell)
{
    dict_cell_free(cell);
    dict->state->used_cells--;
}

/* ---- pages ---- */

static bool grow_file(struct dict *dict, uint64_t wanted_bytes)
{
    struct dict_state *state = dict->state;
    int fd;
    if (mdb_env_get_fd(dict->env, &fd) != 0 ||
        dict_allocate(fd, state->file_bytes, wanted_bytes - state->file_bytes) != 0)
        return false;
    state->file_bytes = wanted_bytes;
    state->is_starved = 0;
    return true;
}

int dict_reserve(struct dict *dict, uint64_t need, bool is_urgent)
{
    MDB_envinfo info;
    mdb_env_info(dict->env, &info);
    uint64_t used = ((uint64_t)info.me_last_pgno + 1) * DICT_PAGE_BYTES + 2 * need;
    uint64_t wanted = used + RESERVE_BYTES;
    if (wanted <= dict->state->file_bytes)
        return 0;
    wanted += GROWTH_BYTES;
    if (wanted > info.me_mapsize)
        wanted = info.me_mapsize;
    if (wanted > dict->state->file_bytes && !grow_file(dict, wanted))
        dict->state->is_starved = 1;
    return used + (is_urgent ? DICT_RESERVE_BYTES : RESERVE_BYTES) <= dict->state->file_bytes
               ? 0
               : -ENOSPC;
}
