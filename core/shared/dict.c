#include "shared/dict_parts.h"

#include "base/thread_sanitizer.h"

#include <errno.h>
#include <string.h>

enum { STALE_TRIES = 100 };

/* A change of one entry. */
struct edit {
    struct dict_change change; /* first, so that it can be cast */
    const struct dict_key *key;
    const struct dict_value *value;
    const struct dict_value *expected; /* of cas */
    const struct dict_terms *terms;
    uint64_t expiry_ms;
    double by, initial, result; /* of incr */
    struct dict_counter *counter;
    struct dict_entry old;
    uint64_t now_ms;
};

bool dict_key_set(struct dict_key *key, struct str name, struct str text)
{
    if (name.len + 1 + text.len > DICT_KEY_BYTES)
        return false;
    memcpy(key->bytes, name.ptr, name.len);
    key->bytes[name.len] = '\0';
    if (text.len != 0)
        memcpy(key->bytes + name.len + 1, text.ptr, text.len);
    key->len = (uint32_t)(name.len + 1 + text.len);
    return true;
}

/* ---- reading ---- */

static int copy_value(struct dict *dict, const struct dict_entry *entry, struct dict_found *found,
                      struct buf *bytes)
{
    struct dict_value *value = &found->value;
    value->type = (enum dict_type)entry->head.type;
    value->number = entry->number;
    if (value->type == DICT_STRING || value->type == DICT_TABLE) {
        bytes->len = 0;
        if (buf_try_reserve(bytes, entry->bytes.len + 1) < 0)
            return -ENOMEM;
        buf_add_str(bytes, entry->bytes);
        value->bytes = buf_str(bytes);
    } else if (value->type == DICT_COUNTER) {
        value->type = DICT_NUMBER;
        if (entry->cell >= dict->state->max_cells)
            return 1;
        struct dict_cell *cell = &dict->cells[entry->cell];
        found->counter = (struct dict_counter){cell, entry->serial};
        /* Another entry's already: the record was replaced since the transaction began. */
        if (!dict_cell_read(cell, entry->serial, &value->number))
            return -ESTALE;
    }
    return 1;
}

static int get_once(struct dict *dict, const struct dict_key *key, struct dict_found *found,
                    struct buf *bytes)
{
    int status;
    MDB_val name = dict_val(key), data;
    struct dict_entry entry;
    MDB_txn *txn = dict_reader(dict, &status);
    if (txn == NULL)
        return status;
    *found = (struct dict_found){.left_ms = -1};
    int code = mdb_get(txn, dict->entries, &name, &data);
    status = code == MDB_NOTFOUND ? 0 : dict_status(code);
    if (code == 0) {
        uint64_t now_ms = dict_now_ms();
        dict_entry_read(name, data, now_ms, &entry);
        if (entry.is_present)
            status = copy_value(dict, &entry, found, bytes);
        if (entry.head.expiry_ms != 0)
            found->left_ms = (int64_t)(entry.head.expiry_ms - now_ms);
    }
    dict_reader_end(dict, txn);
    return status;
}

int dict_get(struct dict *dict, const struct dict_key *key, struct dict_found *found,
             struct buf *bytes)
{
    int status = -ESTALE;
    for (int i = 0; i < STALE_TRIES && status == -ESTALE; i++)
        status = get_once(dict, key, found, bytes);
    return status;
}

/* ---- changing ---- */

static uint64_t expiry_of(const struct edit *edit)
{
    int64_t ttl_ms = edit->terms->ttl_ms;
    if (ttl_ms == DICT_KEEP_TTL)
        return edit->old.is_present ? edit->old.head.expiry_ms : 0;
    return ttl_ms == DICT_FOREVER ? 0 : edit->now_ms + (uint64_t)ttl_ms;
}

static int find(struct edit *edit)
{
    MDB_val key = dict_val(edit->key), data;
    edit->now_ms = dict_now_ms();
    edit->old = (struct dict_entry){.has_record = false};
    int code = mdb_get(edit->change.txn, edit->change.dict->entries, &key, &data);
    if (code == 0)
        dict_entry_read(key, data, edit->now_ms, &edit->old);
    edit->expiry_ms = expiry_of(edit);
    return code == MDB_NOTFOUND ? 0 : dict_status(code);
}

/* A new record of that many bytes behind its head: where they go. NULL: `status` says why not. */
static char *put_head(struct edit *edit, enum dict_type type, size_t bytes, int *status)
{
    struct dict_change *change = &edit->change;
    struct dict_head head = {
        .stamp = mdb_txn_id(change->txn),
        .expiry_ms = edit->expiry_ms,
        .type = (uint8_t)type,
        .is_pinned = edit->terms->is_pinned,
    };
    MDB_val key = dict_val(edit->key), data = {sizeof(head) + bytes, NULL};
    uint64_t cost = dict_cost(key.mv_size, data.mv_size, head.type);
    int code = mdb_put(change->txn, change->dict->entries, &key, &data, MDB_RESERVE);
    *status = code == 0 ? 1 : dict_status(code);
    if (code != 0)
        return NULL;
    ordered_after(&change->dict->entries); /* LMDB saw that nobody reads there any more */
    memcpy(data.mv_data, &head, sizeof(head));
    change->growth = (int64_t)cost - (edit->old.has_record ? (int64_t)edit->old.cost : 0);
    change->is_dirty = true;
    return (char *)data.mv_data + sizeof(head);
}

static int put_value(struct edit *edit, const struct dict_value *value)
{
    int status;
    bool is_number = value->type == DICT_NUMBER;
    struct str bytes =
        is_number ? (struct str){(const char *)&value->number, sizeof(double)} : value->bytes;
    if (value->type == DICT_FALSE || value->type == DICT_TRUE)
        bytes.len = 0;
    dict_entry_settle(&edit->change, &edit->old);
    char *place = put_head(edit, value->type, bytes.len, &status);
    if (place != NULL && bytes.len > 0)
        memcpy(place, bytes.ptr, bytes.len);
    return status;
}

/* A number with a cell, when there is one to be had. */
static int put_counter(struct edit *edit, double number)
{
    int status;
    struct dict *dict = edit->change.dict;
    struct dict_cell *cell = edit->change.fresh = dict_cell_take(dict, number, edit->expiry_ms);
    if (cell == NULL)
        return put_value(edit, &(struct dict_value){.type = DICT_NUMBER, .number = number});
    uint64_t words[3] = {0, (uint64_t)(cell - dict->cells), cell->serial};
    memcpy(&words[0], &number, sizeof(number));
    dict_entry_settle(&edit->change, &edit->old);
    char *place = put_head(edit, DICT_COUNTER, sizeof(words), &status);
    if (place != NULL) {
        memcpy(place, words, sizeof(words));
        *edit->counter = (struct dict_counter){cell, cell->serial};
    }
    return status;
}

static int drop(struct edit *edit)
{
    struct dict_change *change = &edit->change;
    MDB_val key = dict_val(edit->key);
    if (!edit->old.has_record)
        return 0;
    dict_entry_settle(change, &edit->old);
    int code = mdb_del(change->txn, change->dict->entries, &key, NULL);
    if (code != 0)
        return dict_status(code);
    change->growth = -(int64_t)edit->old.cost;
    change->is_dirty = true;
    return edit->old.is_present;
}

static int apply_set(struct dict_change *change)
{
    struct edit *edit = (struct edit *)change;
    int status = find(edit);
    return status < 0 ? status : put_value(edit, edit->value);
}

static int apply_add(struct dict_change *change)
{
    struct edit *edit = (struct edit *)change;
    int status = find(edit);
    if (status < 0 || edit->old.is_present)
        return status;
    return put_value(edit, edit->value);
}

static int apply_delete(struct dict_change *change)
{
    struct edit *edit = (struct edit *)change;
    int status = find(edit);
    return status < 0 ? status : drop(edit);
}

static bool is_expected(const struct dict_entry *old, const struct dict_value *expected)
{
    if (!old->is_present || expected->type == DICT_NONE)
        return !old->is_present && expected->type == DICT_NONE;
    if (expected->type == DICT_NUMBER)
        return (old->head.type == DICT_NUMBER || old->head.type == DICT_COUNTER) &&
               (old->number == expected->number ||
                (old->number != old->number && expected->number != expected->number));
    if (old->head.type != (uint8_t)expected->type)
        return false;
    return expected->type == DICT_FALSE || expected->type == DICT_TRUE ||
           str_equal(old->bytes, expected->bytes);
}

static int apply_cas(struct dict_change *change)
{
    struct edit *edit = (struct edit *)change;
    int status = find(edit);
    if (status < 0)
        return status;
    if (edit->old.has_record && edit->expected->type == DICT_NUMBER)
        dict_entry_settle(change, &edit->old);
    if (!is_expected(&edit->old, edit->expected))
        return 0; /* what was settled thaws */
    if (edit->value->type == DICT_NONE)
        return edit->old.is_present ? drop(edit) : 1;
    return put_value(edit, edit->value);
}

/* Nothing in LMDB changes then. */
static bool add_to_cell(struct edit *edit)
{
    struct dict *dict = edit->change.dict;
    if (edit->old.head.type != DICT_COUNTER || edit->old.cell >= dict->state->ncells)
        return false;
    *edit->counter = (struct dict_counter){&dict->cells[edit->old.cell], edit->old.serial};
    return dict_counter_add(edit->counter, edit->by, &edit->result) == 0;
}

static int apply_incr(struct dict_change *change)
{
    struct edit *edit = (struct edit *)change;
    int status = find(edit);
    struct dict_entry *old = &edit->old;
    if (status < 0)
        return status;
    *edit->counter = (struct dict_counter){NULL, 0};
    if (!old->is_present) {
        edit->result = edit->initial + edit->by;
    } else if (old->head.type == DICT_NUMBER || old->head.type == DICT_COUNTER) {
        if (add_to_cell(edit))
            return 1;
        dict_entry_settle(change, old);
        edit->result = old->number + edit->by;
        edit->expiry_ms = old->head.expiry_ms;
    } else {
        return -EDOM;
    }
    return edit->result == edit->result ? put_counter(edit, edit->result) : -ERANGE;
}

/* ---- the doors ---- */

static uint64_t need_of(const struct dict_key *key, const struct dict_value *value)
{
    size_t bytes = sizeof(struct dict_head) + 3 * sizeof(uint64_t);
    if (value != NULL && (value->type == DICT_STRING || value->type == DICT_TABLE))
        bytes += value->bytes.len;
    return dict_cost(key->len, bytes, DICT_COUNTER);
}

static int run(struct dict *dict, struct edit *edit, int (*apply)(struct dict_change *change))
{
    edit->change.apply = apply;
    edit->change.need = apply == apply_delete ? 0 : need_of(edit->key, edit->value);
    return dict_change_run(dict, &edit->change);
}

int dict_set(struct dict *dict, const struct dict_key *key, const struct dict_value *value,
             const struct dict_terms *terms)
{
    struct edit edit = {.key = key, .value = value, .terms = terms};
    return run(dict, &edit, apply_set);
}

int dict_add(struct dict *dict, const struct dict_key *key, const struct dict_value *value,
             const struct dict_terms *terms)
{
    struct edit edit = {.key = key, .value = value, .terms = terms};
    return run(dict, &edit, apply_add);
}

int dict_cas(struct dict *dict, const struct dict_key *key, const struct dict_value *expected,
             const struct dict_value *value, const struct dict_terms *terms)
{
    struct edit edit = {.key = key, .value = value, .expected = expected, .terms = terms};
    return run(dict, &edit, apply_cas);
}

int dict_incr(struct dict *dict, const struct dict_key *key, double by, double initial,
              const struct dict_terms *terms, double *result, struct dict_counter *counter)
{
    struct edit edit = {
        .key = key, .by = by, .initial = initial, .terms = terms, .counter = counter};
    int status = run(dict, &edit, apply_incr);
    *result = edit.result;
    return status;
}

int dict_delete(struct dict *dict, const struct dict_key *key)
{
    static const struct dict_terms terms;
    struct edit edit = {.key = key, .terms = &terms};
    return run(dict, &edit, apply_delete);
}
