/*
 * How the dictionary changes: one LMDB transaction under the lock, with the cells of counters kept
 * in step. A cell that an entry loses is frozen before the commit and given back after it, so that
 * an addition comes either before the change or finds the entry changed, and a process killed in
 * between leaves a number that can be read.
 */
#include "shared/dict_parts.h"

#include "base/thread_sanitizer.h"

#include <errno.h>
#include <string.h>

enum {
    NODE_BYTES = 16,    /* what LMDB keeps beside key and data */
    LARGE_BYTES = 2000, /* from there on data has pages of its own */
    TRIES = 16,         /* evictions before "full" */
    SWEEP_EVERY = 16,   /* writes of this process */
    READERS_EVERY = 1024,
};

MDB_val dict_val(const struct dict_key *key)
{
    return (MDB_val){key->len, (void *)key->bytes};
}

uint64_t dict_cost(size_t key_bytes, size_t data_bytes, uint8_t type)
{
    uint64_t bytes = NODE_BYTES + key_bytes + data_bytes;
    if (data_bytes >= LARGE_BYTES)
        bytes = (bytes + DICT_PAGE_BYTES) / DICT_PAGE_BYTES * DICT_PAGE_BYTES;
    return type == DICT_COUNTER ? bytes + DICT_CELL_BYTES : bytes;
}

void dict_entry_read(MDB_val key, MDB_val data, uint64_t now_ms, struct dict_entry *entry)
{
    const char *bytes = data.mv_data;
    uint64_t words[3] = {0};
    *entry = (struct dict_entry){.has_record = data.mv_size >= sizeof(entry->head)};
    if (!entry->has_record)
        return;
    memcpy(&entry->head, bytes, sizeof(entry->head));
    entry->bytes.ptr = bytes + sizeof(entry->head);
    entry->bytes.len = data.mv_size - sizeof(entry->head);
    entry->is_present = entry->head.expiry_ms == 0 || now_ms < entry->head.expiry_ms;
    entry->cost = dict_cost(key.mv_size, data.mv_size, entry->head.type);
    if (entry->head.type != DICT_NUMBER && entry->head.type != DICT_COUNTER)
        return;
    memcpy(words, entry->bytes.ptr,
           entry->bytes.len < sizeof(words) ? entry->bytes.len : sizeof(words));
    memcpy(&entry->number, &words[0], sizeof(entry->number));
    entry->cell = (uint32_t)words[1];
    entry->serial = words[2];
}

void dict_entry_settle(struct dict_change *change, struct dict_entry *entry)
{
    struct dict *dict = change->dict;
    if (entry->head.type != DICT_COUNTER || entry->cell >= dict->state->ncells)
        return;
    struct dict_cell *cell = &dict->cells[entry->cell];
    if (dict_cell_freeze(cell, entry->serial, &entry->number)) {
        change->serials[change->nfrozen] = entry->serial;
        change->frozen[change->nfrozen++] = cell;
        entry->head.type = DICT_NUMBER; /* not twice */
    }
}

static void settle_cells(struct dict *dict, struct dict_change *change, bool is_committed)
{
    for (uint32_t i = 0; i < change->nfrozen; i++)
        if (is_committed)
            dict_cell_give(dict, change->frozen[i]);
        else
            dict_cell_thaw(change->frozen[i], change->serials[i]);
    if (change->fresh != NULL && !is_committed)
        dict_cell_give(dict, change->fresh);
}

int dict_change_attempt(struct dict *dict, struct dict_change *change)
{
    change->dict = dict;
    change->growth = 0;
    change->is_dirty = false;
    change->nfrozen = 0;
    change->fresh = NULL;
    int code = dict_reserve(dict, change->need, change->is_urgent || change->need == 0);
    if (code == 0)
        code = mdb_txn_begin(dict->env, NULL, 0, &change->txn);
    if (code != 0)
        return dict_status(code);
    int result = change->apply(change);
    bool is_committed = false;
    if (result >= 0 && change->is_dirty) {
        ordered_before(&dict->env);
        if ((code = mdb_txn_commit(change->txn)) != 0)
            result = dict_status(code);
        is_committed = code == 0;
    } else {
        mdb_txn_abort(change->txn);
    }
    if (is_committed)
        dict->state->used_bytes += (uint64_t)change->growth;
    settle_cells(dict, change, is_committed);
    return result;
}

static void keep_house(struct dict *dict)
{
    dict->nwrites++;
    if (dict->nwrites % SWEEP_EVERY == 0)
        dict_sweep_some(dict);
    if (dict->nwrites % READERS_EVERY == 0)
        mdb_reader_check(dict->env, NULL);
}

int dict_change_run(struct dict *dict, struct dict_change *change)
{
    if (change->need > dict->state->limit_bytes / DICT_LARGEST_SHARE)
        return -E2BIG;
    int status = dict_lock(dict);
    if (status < 0)
        return status;
    change->is_urgent = dict->state->is_starved;
    for (int tries = 0;; tries++) {
        if ((status = dict_make_room(dict, change->need)) >= 0)
            status = dict_change_attempt(dict, change);
        if (status != -ENOSPC || tries == TRIES)
            break;
        mdb_reader_check(dict->env, NULL); /* of the dead, who keep old pages from being used */
        if (change->is_urgent && dict_evict(dict) <= 0)
            break;
        change->is_urgent = true;
    }
    keep_house(dict);
    dict_unlock(dict);
    return status;
}
