/*
 * Opening the dictionary: by whom it is first, and what is wrong with the files.
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
    READERS = 4096,       /* threads that read at once, of all processes */
    BYTES_PER_CELL = 256, /* of the limit: so many cells there are at most */
    MOST_CHUNKS = 16384,  /* of cells: 1 GB */
    MAP_FACTOR = 3,       /* pages of a B-tree are not full */
    MAP_EXTRA_BYTES = 16 << 20,
};

static const char magic[8] = "moonshr";

/* One file may be open once in a process, so this is the process's. */
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static struct dict *_Atomic opened;

static bool fail(struct fault *fault, const char *path, const char *what, int status)
{
    fault_set(fault, "shared dictionary: %s: %s: %s", path, what, dict_strerror(status));
    return false;
}

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
    state->file_bytes = 0;
    uint64_t chunks = state->limit_bytes / BYTES_PER_CELL / DICT_CELLS_CHUNK + 1;
    if (chunks > MOST_CHUNKS)
        chunks = MOST_CHUNKS;
    if (state->max_cells < chunks * DICT_CELLS_CHUNK)
        state->max_cells = (uint32_t)chunks * DICT_CELLS_CHUNK;
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
    int status = dict_allocate(dict->state_fd, 0, DICT_STATE_BYTES);
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

static bool has_all_pages(MDB_env *env)
{
    MDB_envinfo info;
    struct stat file;
    int fd;
    return mdb_env_info(env, &info) == 0 && mdb_env_get_fd(env, &fd) == 0 &&
           fstat(fd, &file) == 0 &&
           (uint64_t)file.st_size >= ((uint64_t)info.me_last_pgno + 1) * DICT_PAGE_BYTES;
}

/* Before LMDB extends it: what was cut off would be found as pages of zeros, much later. */
static bool check_length(const char *path, struct fault *fault)
{
    char name[4096];
    struct stat file;
    MDB_env *env = NULL;
    snprintf(name, sizeof(name), "%s/data.mdb", path);
    if (stat(name, &file) != 0 || file.st_size == 0)
        return true;
    int code = mdb_env_create(&env);
    if (code == 0)
        code = mdb_env_open(env, path, MDB_RDONLY | MDB_NOLOCK, 0600);
    bool has_all = code == 0 && has_all_pages(env);
    mdb_env_close(env);
    if (code != 0)
        return fail(fault, path, "data.mdb cannot be opened", code > 0 ? -code : code);
    if (!has_all)
        fault_set(fault,
                  "shared dictionary: %s/data.mdb is damaged: it has been cut off; move the "
                  "directory away, or name another one with shared_path",
                  path);
    return has_all;
}

/* LMDB extends this file without taking memory for it, which a full tmpfs answers with SIGBUS. */
static bool reserve_lock_file(const char *path, struct fault *fault)
{
    char name[4096];
    snprintf(name, sizeof(name), "%s/lock.mdb", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int status = fd < 0 ? errno : dict_allocate(fd, 0, READERS * 64 + 4096);
    if (fd >= 0)
        close(fd);
    return status == 0 || fail(fault, path, "no room for lock.mdb", -status);
}

static bool open_tables(struct dict *dict, const char *path, bool is_first, struct fault *fault)
{
    MDB_txn *txn = NULL;
    /* LMDB's writers wait for each other without end; those who come later only read here. */
    unsigned flags = is_first ? MDB_CREATE : 0;
    int code = is_first ? -dict_reserve(dict, 0, false) : 0;
    if (code == 0)
        code = mdb_txn_begin(dict->env, NULL, is_first ? 0 : MDB_RDONLY, &txn);
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
    if (is_first && (!check_length(path, fault) || !reserve_lock_file(path, fault)))
        return false;
    int code = mdb_env_create(&dict->env);
    if (code != 0)
        return fail(fault, path, "cannot begin", -code);
    mdb_env_set_maxdbs(dict->env, 2);
    mdb_env_set_maxreaders(dict->env, READERS);
    mdb_env_set_mapsize(dict->env, dict->state->limit_bytes * MAP_FACTOR + MAP_EXTRA_BYTES);
    /* Written to as memory, which dict_reserve has made sure is there. */
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD;
    if (!dict->state->is_synced)
        flags |= MDB_NOSYNC | MDB_WRITEMAP;
    code = mdb_env_open(dict->env, path, flags, 0600);
    if (code != 0)
        return fail(fault, path, "data.mdb cannot be opened", code > 0 ? -code : code);
    mdb_reader_check(dict->env, NULL);
    return open_tables(dict, path, is_first, fault);
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
    dict_readers_forget();
}

struct dict *dict_open(struct fault *fault)
{
    static bool is_prepared;
    struct dict *dict = atomic_load_explicit(&opened, memory_order_acquire);
    if (dict != NULL)
        return dict;
    pthread_mutex_lock(&opening);
    if (!is_prepared && dict_readers_prepare())
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
