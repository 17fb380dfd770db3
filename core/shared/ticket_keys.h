/*
 * ticket_keys.h - the keys that TLS session tickets are sealed with, in memory that all workers
 * see: a ticket of one is good for all of them.
 *
 * Made by the master before the first fork and changed by it alone; workers read without waiting. A
 * key seals tickets until the next one comes and opens them for two turns more. Keys are random,
 * never written to disk and not in core dumps.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    TICKET_KEYS = 3,
    TICKET_KEY_NAME_BYTES = 16,
    TICKET_KEY_BYTES = 80, /* its name first */
    TICKET_KEYS_TURN_S = 8 * 60 * 60,
};

struct ticket_keys;

/* With a first key. NULL with errno set. */
struct ticket_keys *ticket_keys_new(void);
void ticket_keys_free(struct ticket_keys *keys); /* NULL is fine */
/* A new key; the oldest of TICKET_KEYS is gone. By the master. 0 or -errno: nothing has changed. */
int ticket_keys_turn(struct ticket_keys *keys);
/* The key of that name, or the newest for NULL. False: there is none. */
bool ticket_keys_find(const struct ticket_keys *keys, const uint8_t *name,
                      uint8_t key[TICKET_KEY_BYTES], bool *is_newest);
