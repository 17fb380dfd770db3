#include "shared/dict_lease.h"

#include "shared/dict_home.h"
#include "shared/dict_parts.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LEASE_BYTES = 256, TIDY_AT_ONCE = 8 };

/* As it lies in the table. Times are CLOCK_BOOTTIME: setting the clock ends no lease. Whoever opens
 * the dictionary first removes all of them, so none comes from before a restart of the machine. */
struct record {
    uint64_t token;
    uint64_t end_ms;
    uint64_t started; /* of the process, see dict_home_started */
    int32_t pid;
    int32_t zero;
};

struct lease_change {
    struct dict_change change; /* first, so that it can be cast */
    const struct dict_key *key;
    struct record mine; /* as it is to be; token 0: gone */
    struct record found;
    uint64_t token; /* whose it has to be */
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Asked of the system each time: it is done only when somebody else wants the lease. */
static bool is_held(const struct record *record)
{
    return record->token != 0 && now_ms() < record->end_ms &&
           dict_home_started(record->pid) == record->started;
}

static int find(MDB_txn *txn, MDB_dbi leases, const struct dict_key *key, struct record *record)
{
    MDB_val name = dict_val(key), data;
    *record = (struct record){0};
    int code = mdb_get(txn, leases, &name, &data);
    if (code == 0 && data.mv_size == sizeof(*record))
        memcpy(record, data.mv_data, sizeof(*record));
    return code == MDB_NOTFOUND ? 0 : dict_status(code);
}

/* Names that nobody gave back must not pile up: the next few behind this one are looked at. */
static int tidy(struct dict_change *change, const struct dict_key *key)
{
    MDB_cursor *cursor = NULL;
    MDB_val name = dict_val(key), data;
    struct record record;
    int code = mdb_cursor_open(change->txn, change->dict->leases, &cursor);
    if (code == 0)
        code = mdb_cursor_get(cursor, &name, &data, MDB_SET_RANGE);
    for (int i = 0; code == 0 && i < TIDY_AT_ONCE; i++) {
        memcpy(&record, data.mv_data, sizeof(record));
        if (record.end_ms <= now_ms() && (code = mdb_cursor_del(cursor, 0)) != 0)
            break;
        code = mdb_cursor_get(cursor, &name, &data, MDB_NEXT);
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : dict_status(code);
}

static int put(struct lease_change *lease)
{
    struct dict_change *change = &lease->change;
    MDB_val name = dict_val(lease->key), data = {sizeof(lease->mine), &lease->mine};
    int code = mdb_put(change->txn, change->dict->leases, &name, &data, 0);
    change->is_dirty = code == 0;
    return code == 0 ? 1 : dict_status(code);
}

static int apply_take(struct dict_change *change)
{
    struct lease_change *lease = (struct lease_change *)change;
    int status = find(change->txn, change->dict->leases, lease->key, &lease->found);
    if (status < 0 || is_held(&lease->found))
        return status;
    if ((status = tidy(change, lease->key)) < 0)
        return status;
    lease->mine.token = ++change->dict->state->next_token;
    return put(lease);
}

/* Of a lease that has ended but that nobody else has taken since, too. */
static int apply_renew(struct dict_change *change)
{
    struct lease_change *lease = (struct lease_change *)change;
    int status = find(change->txn, change->dict->leases, lease->key, &lease->found);
    if (status < 0 || lease->found.token != lease->mine.token)
        return status;
    return put(lease);
}

static int apply_release(struct dict_change *change)
{
    struct lease_change *lease = (struct lease_change *)change;
    MDB_val name = dict_val(lease->key);
    int status = find(change->txn, change->dict->leases, lease->key, &lease->found);
    if (status < 0 || lease->found.token != lease->token)
        return status;
    int code = mdb_del(change->txn, change->dict->leases, &name, NULL);
    change->is_dirty = code == 0;
    return code == 0 ? lease->found.end_ms > now_ms() : dict_status(code);
}

/* Asked of the system once a thread, and again in a child after a fork. */
static uint64_t own_start(pid_t pid)
{
    static _Thread_local pid_t known;
    static _Thread_local uint64_t started;
    if (known != pid) {
        started = dict_home_started(pid);
        known = pid;
    }
    return started;
}

static struct record own_record(uint64_t token, int64_t ttl_ms)
{
    return (struct record){
        .token = token,
        .end_ms = now_ms() + (uint64_t)ttl_ms,
        .started = own_start(getpid()),
        .pid = getpid(),
    };
}

static void describe(const struct record *record, struct dict_lease *lease)
{
    *lease = (struct dict_lease){
        .token = record->token,
        .left_ms = (int64_t)(record->end_ms - now_ms()),
        .pid = record->pid,
    };
}

int dict_lease_take(struct dict *dict, const struct dict_key *key, int64_t ttl_ms,
                    struct dict_lease *lease)
{
    struct lease_change change = {.change = {.apply = apply_take, .need = LEASE_BYTES},
                                  .key = key,
                                  .mine = own_record(0, ttl_ms)};
    int status = dict_change_run(dict, &change.change);
    describe(status > 0 ? &change.mine : &change.found, lease);
    return status;
}

int dict_lease_renew(struct dict *dict, const struct dict_key *key, uint64_t token, int64_t ttl_ms)
{
    struct lease_change change = {.change = {.apply = apply_renew, .need = LEASE_BYTES},
                                  .key = key,
                                  .mine = own_record(token, ttl_ms)};
    return dict_change_run(dict, &change.change);
}

int dict_lease_release(struct dict *dict, const struct dict_key *key, uint64_t token)
{
    struct lease_change change = {.change = {.apply = apply_release}, .key = key, .token = token};
    return dict_change_run(dict, &change.change);
}

int dict_lease_look(struct dict *dict, const struct dict_key *key, struct dict_lease *lease)
{
    int status;
    struct record record;
    MDB_txn *txn = dict_reader(dict, &status);
    if (txn == NULL)
        return status;
    status = find(txn, dict->leases, key, &record);
    dict_reader_end(dict, txn);
    if (status == 0 && is_held(&record)) {
        describe(&record, lease);
        return 1;
    }
    return status;
}
