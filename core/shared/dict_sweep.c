/*
 * What leaves the dictionary by itself: entries that have expired, and, when it is full, those that
 * were written longest ago among the ones that a hand comes by (as on a clock: it goes round by
 * key).
 */
#include "shared/dict_parts.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPARED_AT_MOST = 2,
    STARVED_SHARE = 3, /* of the file is entries then: pages are half full or more, some are free */
};

struct hand_step {
    struct dict_change change; /* first, so that it can be cast */
    bool is_evicting;          /* else only what has expired goes */
    bool has_wrapped;
    uint32_t nexpired;
    uint32_t nevicted;
    struct dict_key next; /* where the hand goes on */
};

/* ---- the hand ---- */

static bool is_touched(struct dict_change *change, const struct dict_entry *entry)
{
    if (entry->head.type != DICT_COUNTER || entry->cell >= change->dict->state->ncells)
        return false;
    return atomic_exchange(&change->dict->cells[entry->cell].is_touched, 0) != 0;
}

static int compare_stamps(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* The cursor at the hand. False at the end of the table. */
static int place_cursor(struct hand_step *step, MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    struct dict_key *hand = &step->change.dict->state->hand;
    *key = dict_val(hand);
    if (hand->len == 0)
        return mdb_cursor_get(cursor, key, data, MDB_FIRST);
    return mdb_cursor_get(cursor, key, data, MDB_SET_RANGE);
}

/* The stamp up to which entries are old: the median of those ahead. */
static int find_median(struct hand_step *step, MDB_cursor *cursor, uint64_t *median)
{
    uint64_t stamps[DICT_BATCH];
    MDB_val key, data;
    struct dict_entry entry;
    uint32_t count = 0;
    int code = place_cursor(step, cursor, &key, &data);
    for (; code == 0 && count < DICT_BATCH; code = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) {
        dict_entry_read(key, data, 0, &entry);
        stamps[count++] = entry.head.stamp;
    }
    if (count == 0)
        return code;
    qsort(stamps, count, sizeof(*stamps), compare_stamps);
    *median = stamps[(count - 1) / 2];
    return 0;
}

static int remove_here(struct hand_step *step, MDB_cursor *cursor, struct dict_entry *entry)
{
    dict_entry_settle(&step->change, entry);
    int code = mdb_cursor_del(cursor, 0);
    if (code == 0) {
        step->change.growth -= (int64_t)entry->cost;
        step->change.is_dirty = true;
    }
    return code;
}

/* The next DICT_BATCH entries. */
static int pass(struct hand_step *step, MDB_cursor *cursor, uint64_t median)
{
    MDB_val key, data;
    struct dict_entry entry;
    uint64_t now_ms = dict_now_ms();
    uint32_t seen = 0;
    int code = place_cursor(step, cursor, &key, &data);
    for (; code == 0 && seen < DICT_BATCH; seen++) {
        dict_entry_read(key, data, now_ms, &entry);
        bool is_old = step->is_evicting && entry.head.stamp <= median && !entry.head.is_pinned &&
                      !is_touched(&step->change, &entry);
        if (!entry.is_present)
            step->nexpired++;
        else if (is_old)
            step->nevicted++;
        if ((!entry.is_present || is_old) && (code = remove_here(step, cursor, &entry)) != 0)
            return code;
        code = mdb_cursor_get(cursor, &key, &data, MDB_NEXT);
    }
    step->has_wrapped = code == MDB_NOTFOUND;
    step->next.len = 0;
    if (code == 0) {
        step->next.len = (uint32_t)key.mv_size;
        memcpy(step->next.bytes, key.mv_data, key.mv_size);
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

static int apply_hand(struct dict_change *change)
{
    struct hand_step *step = (struct hand_step *)change;
    MDB_cursor *cursor = NULL;
    uint64_t median = 0;
    step->nexpired = step->nevicted = 0;
    int code = mdb_cursor_open(change->txn, change->dict->entries, &cursor);
    if (code == 0 && step->is_evicting)
        code = find_median(step, cursor, &median);
    if (code == 0)
        code = pass(step, cursor, median);
    if (code == MDB_NOTFOUND) { /* nothing behind the hand */
        step->has_wrapped = true;
        step->next.len = 0;
        code = 0;
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    return code == 0 ? (int)(step->nexpired + step->nevicted) : dict_status(code);
}

static int move_hand(struct dict *dict, struct hand_step *step)
{
    step->change.apply = apply_hand;
    int status = dict_change_attempt(dict, &step->change);
    if (status >= 0) {
        dict->state->hand.len = step->next.len;
        memcpy(dict->state->hand.bytes, step->next.bytes, step->next.len);
        dict->state->expired += step->nexpired;
        dict->state->evicted += step->nevicted;
    }
    return status;
}

int dict_evict(struct dict *dict)
{
    struct hand_step step = {.is_evicting = true};
    int removed = 0, wraps = 0;
    /* One time round to the hand's place, and one more for what it spared the first time. */
    while (removed == 0 && wraps <= SPARED_AT_MOST) {
        if ((removed = move_hand(dict, &step)) < 0)
            return removed;
        wraps += step.has_wrapped;
    }
    return removed;
}

int dict_make_room(struct dict *dict, uint64_t need)
{
    struct dict_state *state = dict->state;
    uint64_t limit = state->limit_bytes;
    uint64_t starved = (state->file_bytes - DICT_RESERVE_BYTES) / STARVED_SHARE;
    if (state->is_starved && limit > starved)
        limit = starved;
    while (need > 0 && state->used_bytes + need > limit) {
        int removed = dict_evict(dict);
        if (removed <= 0)
            return removed < 0 ? removed : -ENOSPC;
    }
    return 0;
}

void dict_sweep_some(struct dict *dict)
{
    struct hand_step step = {.is_evicting = false};
    move_hand(dict, &step);
}

int dict_sweep(struct dict *dict)
{
    struct hand_step step = {.is_evicting = false};
    int status = dict_lock(dict);
    if (status < 0)
        return status;
    dict->state->hand.len = 0;
    do
        status = move_hand(dict, &step);
    while (status >= 0 && !step.has_wrapped);
    mdb_reader_check(dict->env, NULL);
    dict_unlock(dict);
    return status;
}

/* ---- counting anew ---- */

struct recount {
    struct dict_change change;
    uint8_t *is_used; /* by cell */
    uint64_t used_bytes;
    uint32_t used_cells;
};

/* A counter whose cell is not there any more (its file was lost, or writes are to reach the disk)
 * becomes a plain number. The number comes first in both kinds of records: only the type changes.
 */
static int check_counter(struct recount *recount, MDB_cursor *cursor, MDB_val key, MDB_val data,
                         struct dict_entry *entry)
{
    struct dict *dict = recount->change.dict;
    const struct dict_state *state = dict->state;
    double number = entry->number;
    bool has_cell = entry->cell < state->ncells &&
                    dict_cell_read(&dict->cells[entry->cell], entry->serial, &number);
    if (has_cell && !state->is_synced) {
        dict_cell_thaw(&dict->cells[entry->cell], entry->serial);
        recount->is_used[entry->cell] = 1;
        recount->used_cells++;
        return 0;
    }
    char record[sizeof(struct dict_head) + 3 * sizeof(uint64_t)];
    if (data.mv_size != sizeof(record))
        return MDB_CORRUPTED;
    entry->head.type = DICT_NUMBER;
    memcpy(record, data.mv_data, sizeof(record));
    memcpy(record, &entry->head, sizeof(entry->head));
    memcpy(record + sizeof(entry->head), &number, sizeof(number));
    data.mv_data = record;
    recount->change.is_dirty = true;
    entry->cost -= DICT_CELL_BYTES;
    return mdb_cursor_put(cursor, &key, &data, MDB_CURRENT);
}

static int apply_recount(struct dict_change *change)
{
    struct recount *recount = (struct recount *)change;
    MDB_cursor *cursor = NULL;
    MDB_val key, data;
    struct dict_entry entry;
    int code = mdb_cursor_open(change->txn, change->dict->entries, &cursor);
    if (code == 0)
        code = mdb_cursor_get(cursor, &key, &data, MDB_FIRST);
    for (; code == 0; code = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) {
        dict_entry_read(key, data, 0, &entry);
        if (entry.head.type == DICT_COUNTER &&
            (code = check_counter(recount, cursor, key, data, &entry)) != 0)
            break;
        recount->used_bytes += entry.cost;
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : dict_status(code);
}

/* Somebody died, or this is the first one to open it: by the entries, what is used and what is not.
 */
int dict_recount(struct dict *dict)
{
    struct dict_state *state = dict->state;
    struct recount recount = {.change.apply = apply_recount};
    recount.is_used = mem_try_zeroed((size_t)state->ncells + 1);
    if (recount.is_used == NULL)
        return -ENOMEM;
    int status = dict_change_attempt(dict, &recount.change);
    for (uint32_t i = 0; status >= 0 && i < state->ncells; i++)
        if (!recount.is_used[i])
            dict_cell_free(&dict->cells[i]);
    if (status >= 0) {
        state->used_bytes = recount.used_bytes;
        state->used_cells = recount.used_cells;
        state->needs_recount = 0;
    }
    free(recount.is_used);
    return status;
}
