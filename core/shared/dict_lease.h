/*
 * dict_lease.h - locks between processes: a record in the shared dictionary that says who holds a
 * name and until when.
 *
 * Free again when its holder gives it back, when the lease ends, or when the holder's process has
 * ended, whatever ended it: a process is known by its id and the moment when it began. Never
 * evicted. Every time a lease is taken it gets a token that is greater than all before: what is
 * written under a lock can carry it, so that a late write of a former holder is recognised.
 */
#pragma once

#include "shared/dict.h"

struct dict_lease {
    uint64_t token;
    int64_t left_ms; /* until it ends */
    int32_t pid;     /* of the holder */
};

/* 1: taken. 0: another has it, `lease` says who. `key` is the name (no NUL needed). */
int dict_lease_take(struct dict *dict, const struct dict_key *key, int64_t ttl_ms,
                    struct dict_lease *lease);
/* 1: it lasts `ttl_ms` from now. 0: it is lost. */
int dict_lease_renew(struct dict *dict, const struct dict_key *key, uint64_t token, int64_t ttl_ms);
/* 1: given back. 0: it was lost before. */
int dict_lease_release(struct dict *dict, const struct dict_key *key, uint64_t token);
/* 1 and who has it; 0: it is free. Takes no lock. */
int dict_lease_look(struct dict *dict, const struct dict_key *key, struct dict_lease *lease);
