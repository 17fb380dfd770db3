/*
 * Many entries of the dictionary at a time: their keys, their removal, their sums.
 */
#include "shared/dict_parts.h"

#include <string.h>

static bool has_prefix(MDB_val key, const struct dict_key *prefix)
{
    return key.mv_size >= prefix->len && memcmp(key.mv_data, prefix->bytes, prefix->len) == 0;
}

/* Behind the NUL that ends the name. */
static struct str text_of(MDB_val key)
{
    const char *bytes = key.mv_data, *end = memchr(bytes, '\0', key.mv_size);
    size_t skip = end == NULL ? 0 : (size_t)(end - bytes) + 1;
    return (struct str){bytes + skip, key.mv_size - skip};
}

int dict_keys(struct dict *dict, const struct dict_key *prefix, uint32_t limit, struct buf *list)
{
    int status, count = 0;
    uint64_t now_ms = dict_now_ms();
    MDB_cursor *cursor = NULL;
    MDB_val key = dict_val(prefix), data;
    struct dict_entry entry;
    MDB_txn *txn = dict_reader(dict, &status);
    if (txn == NULL)
        return status;
    int code = mdb_cursor_open(txn, dict->entries, &cursor);
    if (code == 0)
        code = mdb_cursor_get(cursor, &key, &data, MDB_SET_RANGE);
    for (; code == 0 && has_prefix(key, prefix) && (uint32_t)count < limit;
         code = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) {
        dict_entry_read(key, data, now_ms, &entry);
        if (!entry.is_present)
            continue;
        struct str text = text_of(key);
        uint16_t len = (uint16_t)text.len;
        buf_add(list, &len, sizeof(len));
        buf_add_str(list, text);
        count++;
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    dict_reader_end(dict, txn);
    return code == 0 || code == MDB_NOTFOUND ? count : dict_status(code);
}

struct clearing {
    struct dict_change change; /* first, so that it can be cast */
    const struct dict_key *prefix;
};

/* As many as cells can be frozen at a time. */
static int apply_clear(struct dict_change *change)
{
    const struct dict_key *prefix = ((struct clearing *)change)->prefix;
    MDB_cursor *cursor = NULL;
    MDB_val key = dict_val(prefix), data;
    struct dict_entry entry;
    int count = 0, code = mdb_cursor_open(change->txn, change->dict->entries, &cursor);
    if (code == 0)
        code = mdb_cursor_get(cursor, &key, &data, MDB_SET_RANGE);
    while (code == 0 && has_prefix(key, prefix) && count < DICT_BATCH) {
        dict_entry_read(key, data, 0, &entry);
        dict_entry_settle(change, &entry);
        if ((code = mdb_cursor_del(cursor, 0)) != 0)
            break;
        change->growth -= (int64_t)entry.cost;
        change->is_dirty = true;
        count++;
        code = mdb_cursor_get(cursor, &key, &data, MDB_NEXT);
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    return code == 0 || code == MDB_NOTFOUND ? count : dict_status(code);
}

int dict_clear(struct dict *dict, const struct dict_key *prefix)
{
    int status;
    struct clearing clearing = {.change.apply = apply_clear, .prefix = prefix};
    do
        status = dict_change_run(dict, &clearing.change);
    while (status > 0);
    return status;
}

static int apply_stats(struct dict_change *change)
{
    MDB_stat stat;
    int code = mdb_stat(change->txn, change->dict->entries, &stat);
    change->need = code == 0 ? stat.ms_entries : 0;
    return dict_status(code);
}

int dict_stats(struct dict *dict, struct dict_stats *stats)
{
    struct dict_change change = {.apply = apply_stats};
    int status = dict_lock(dict);
    if (status < 0)
        return status;
    const struct dict_state *state = dict->state;
    status = dict_change_attempt(dict, &change);
    *stats = (struct dict_stats){
        .limit_bytes = state->limit_bytes,
        .used_bytes = state->used_bytes,
        .entries = change.need,
        .counters = state->used_cells,
        .evicted = state->evicted,
        .expired = state->expired,
        .recovered = state->recovered,
    };
    dict_unlock(dict);
    return status;
}
