/*
 * The dictionary as a process has it: opening, the lock, readers, memory for cells.
 */
#include "shared/dict_parts.h"

#include "base/mem.h"
#include "shared/dict_home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    STATE_VERSION = 1,
    READERS = 4096, /* threads that read at once, of all processes */
    SPINS = 200,
    BYTES_PER_CELL = 256, /* of the limit: so many cells there are at most */
    MAP_FACTOR = 3,       /* pages of a B-tree are not full */
    MAP_EXTRA_BYTES = 16 << 20,
};

static const char magic[8] = "moonshr";

/* One file may be open once in a process, so this is the process's. */
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static struct dict *_Atomic opened;
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

static int init_mutex(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    int status = pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return status;
}

static int wait_for_mutex(pthread_mutex_t *mutex)
{
    int status = EBUSY;
    for (int i = 0; i < SPINS && status == EBUSY; i++)
        status = pthread_mutex_trylock(mutex);
    if (status != EBUSY)
        return status;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += DICT_PATIENCE_MS / 1000;
    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until);
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
    *status = dict_status(code);
    return code == 0 ? reader : NULL;
}

/* ---- cells ---- */

static bool grow_cells(struct dict *dict)
{
    struct dict_state *state = dict->state;
    if (!dict_cell_is_supported() || state->ncells + DICT_CELLS_CHUNK > state->max_cells)
        return false;
    off_t from = DICT_STATE_BYTES + (off_t)state->ncells * DICT_CELL_BYTES;
    if (posix_fallocate(dict->state_fd, from, DICT_CELLS_CHUNK * DICT_CELL_BYTES) != 0)
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

/* ---- opening ---- */

static bool fail(struct fault *fault, const char *path, const char *what, int status)
{
    fault_set(fault, "shared dictionary: %s: %s: %s", path, what, dict_strerror(status));
    return false;
}

/* Only while nobody else has it open. */
static bool init_state(struct dict *dict, const char *path, bool is_new, struct fault *fault)
{
    struct dict_state *state = dict->state;
    if (!is_new &&
        (memcmp(state->magic, magic, sizeof(magic)) != 0 || state->version != STATE_VERSION)) {
        fault_set(fault,
                  "shared dictionary: %s/state is not a file of this version of moonloop; move "
                  "the directory away, or name another one with shared_path",
                  path);
        return false;
    }
    if (is_new) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        state->version = STATE_VERSION;
        state->next_serial = 1;
        /* Tokens of leases grow from one life of the directory to the next, too. */
        state->next_token = (uint64_t)now.tv_sec * 1000000;
        memcpy(state->magic, magic, sizeof(magic));
    }
    state->is_synced = dict_home_is_synced();
    state->limit_bytes = dict_home_size_bytes();
    uint32_t wanted = (uint32_t)(state->limit_bytes / BYTES_PER_CELL / DICT_CELLS_CHUNK + 1);
    if (state->max_cells < wanted * DICT_CELLS_CHUNK)
        state->max_cells = wanted * DICT_CELLS_CHUNK;
    state->needs_recount = 1;
    int status = init_mutex(&state->mutex);
    return status == 0 || fail(fault, path, "cannot make a lock", -status);
}

static void *map_state(int fd, size_t bytes)
{
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return map == MAP_FAILED ? NULL : map;
}

/* Alone with it, or with others once the first of them is ready. */
static bool lock_file(int fd, bool *is_first)
{
    for (int waited_ms = 0; waited_ms < DICT_PATIENCE_MS; waited_ms++) {
        *is_first = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (*is_first || flock(fd, LOCK_SH | LOCK_NB) == 0)
            return true;
        usleep(1000);
    }
    return false;
}

/* The first page, then all of it. */
static bool open_state(struct dict *dict, const char *path, bool *is_first, struct fault *fault)
{
    char name[4096];
    struct stat info;
    snprintf(name, sizeof(name), "%s/state", path);
    dict->state_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (dict->state_fd < 0)
        return fail(fault, path, "cannot open state", -errno);
    if (!lock_file(dict->state_fd, is_first))
        return fail(fault, path, "another process is opening it and does not end", -errno);
    int status = posix_fallocate(dict->state_fd, 0, DICT_STATE_BYTES);
    if (status != 0 || fstat(dict->state_fd, &info) != 0)
        return fail(fault, path, "no room for state", status != 0 ? -status : -errno);
    if ((dict->state = map_state(dict->state_fd, DICT_STATE_BYTES)) == NULL)
        return fail(fault, path, "cannot map state", -errno);
    bool is_new = dict->state->magic[0] == '\0';
    if (!*is_first && is_new)
        return fail(fault, path, "another process could not open it", -EAGAIN);
    if (*is_first && !init_state(dict, path, is_new, fault))
        return false;
    dict->mapped_bytes = DICT_STATE_BYTES + (uint64_t)dict->state->max_cells * DICT_CELL_BYTES;
    munmap(dict->state, DICT_STATE_BYTES);
    dict->state = NULL;
    if ((uint64_t)info.st_size < dict->mapped_bytes &&
        ftruncate(dict->state_fd, (off_t)dict->mapped_bytes) != 0)
        return fail(fault, path, "cannot extend state", -errno);
    if ((dict->state = map_state(dict->state_fd, dict->mapped_bytes)) == NULL)
        return fail(fault, path, "cannot map state", -errno);
    dict->cells = (struct dict_cell *)(void *)((char *)dict->state + DICT_STATE_BYTES);
    return true;
}

/* A file that was cut off would be a SIGBUS later. */
static bool check_length(struct dict *dict, const char *path, struct fault *fault)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    int fd;
    mdb_env_info(dict->env, &info);
    mdb_env_stat(dict->env, &stat);
    if (mdb_env_get_fd(dict->env, &fd) != 0 || fstat(fd, &file) != 0)
        return fail(fault, path, "cannot look at data.mdb", -errno);
    if ((uint64_t)file.st_size >= ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize)
        return true;
    fault_set(fault,
              "shared dictionary: %s/data.mdb is damaged: it has been cut off; move the "
              "directory away, or name another one with shared_path",
              path);
    return false;
}

/* LMDB extends this file without taking memory for it, which a full tmpfs answers with SIGBUS. */
static bool reserve_lock_file(const char *path, struct fault *fault)
{
    char name[4096];
    snprintf(name, sizeof(name), "%s/lock.mdb", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int status = fd < 0 ? errno : posix_fallocate(fd, 0, READERS * 64 + 4096);
    if (fd >= 0)
        close(fd);
    return status == 0 || fail(fault, path, "no room for lock.mdb", -status);
}

static bool open_tables(struct dict *dict, const char *path, bool is_first, struct fault *fault)
{
    MDB_txn *txn = NULL;
    /* LMDB's writers wait for each other without end; those who come later only read here. */
    unsigned flags = is_first ? MDB_CREATE : 0;
    int code = mdb_txn_begin(dict->env, NULL, is_first ? 0 : MDB_RDONLY, &txn);
    if (code == 0 && (code = mdb_dbi_open(txn, "entries", flags, &dict->entries)) == 0 &&
        (code = mdb_dbi_open(txn, "leases", flags, &dict->leases)) == 0 && is_first)
        code = mdb_drop(txn, dict->leases, 0); /* nobody is there who could hold one */
    if (code == 0)
        code = mdb_txn_commit(txn);
    else if (txn != NULL)
        mdb_txn_abort(txn);
    return code == 0 || fail(fault, path, "cannot open the tables", code > 0 ? -code : code);
}

static bool open_env(struct dict *dict, const char *path, bool is_first, struct fault *fault)
{
    if (is_first && !reserve_lock_file(path, fault))
        return false;
    int code = mdb_env_create(&dict->env);
    if (code != 0)
        return fail(fault, path, "cannot begin", -code);
    mdb_env_set_maxdbs(dict->env, 2);
    mdb_env_set_maxreaders(dict->env, READERS);
    mdb_env_set_mapsize(dict->env, dict->state->limit_bytes * MAP_FACTOR + MAP_EXTRA_BYTES);
    /* No MDB_WRITEMAP: writes then fail with ENOSPC where a mapping would be a SIGBUS, and a stray
     * pointer in somebody's C library cannot write into the file. */
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (dict->state->is_synced ? 0 : MDB_NOSYNC);
    code = mdb_env_open(dict->env, path, flags, 0600);
    if (code != 0)
        return fail(fault, path, "data.mdb cannot be opened", code > 0 ? -code : code);
    mdb_reader_check(dict->env, NULL);
    return check_length(dict, path, fault) && open_tables(dict, path, is_first, fault);
}

static void close_dict(struct dict *dict)
{
    if (dict->env != NULL)
        mdb_env_close(dict->env);
    if (dict->state != NULL)
        munmap(dict->state, dict->mapped_bytes != 0 ? dict->mapped_bytes : DICT_STATE_BYTES);
    if (dict->state_fd >= 0)
        close(dict->state_fd);
    free(dict);
}

static struct dict *open_dict(struct fault *fault)
{
    bool is_first = false;
    const char *path = dict_home_path(fault);
    if (path == NULL)
        return NULL;
    struct dict *dict = MEM_NEW(struct dict);
    dict->state_fd = -1;
    if (!open_state(dict, path, &is_first, fault) || !open_env(dict, path, is_first, fault)) {
        close_dict(dict);
        return NULL;
    }
    int status = 0;
    if (is_first && (status = dict_lock(dict)) == 0) /* which counts anew */
        dict_unlock(dict);
    if (status < 0) {
        fail(fault, path, "cannot be read through", status);
        close_dict(dict);
        return NULL;
    }
    flock(dict->state_fd, LOCK_SH);
    return dict;
}

/* A child has none of its parent's: neither file locks nor readers. What it mapped stays unused. */
static void forget_in_child(void)
{
    pthread_mutex_init(&opening, NULL);
    atomic_store(&opened, NULL);
    reader = NULL;
}

struct dict *dict_open(struct fault *fault)
{
    static bool is_prepared;
    struct dict *dict = atomic_load_explicit(&opened, memory_order_acquire);
    if (dict != NULL)
        return dict;
    pthread_mutex_lock(&opening);
    if (!is_prepared && pthread_key_create(&reader_key, on_thread_end) == 0)
        is_prepared = pthread_atfork(NULL, NULL, forget_in_child) == 0;
    if ((dict = atomic_load(&opened)) == NULL && (dict = open_dict(fault)) != NULL)
        atomic_store(&opened, dict);
    pthread_mutex_unlock(&opening);
    return dict;
}

bool dict_check(struct fault *fault)
{
    struct dict *dict = open_dict(fault);
    if (dict != NULL)
        close_dict(dict);
    return dict != NULL;
}
