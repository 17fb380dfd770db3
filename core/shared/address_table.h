/*
 * address_table.h - how many connections each client address has with the whole server.
 *
 * Memory that all workers share: each seat of the scoreboard has a part that its worker alone
 * writes and everyone reads, without locks. A worker that is killed leaves its part behind, and the
 * master clears it. A reader may see the numbers of different moments.
 *
 * Places lie in small groups, found by a hash that nobody outside can foresee. Where a group is
 * full, a further address is not counted: its clients are let in.
 */
#pragma once

#include <stdint.h>

enum { ADDRESS_BYTES = 16, ADDRESS_TABLE_NONE = 0 };

struct address_table;

/* For so many seats of up to `max_connections` each. Address space only: memory is used by what is
 * counted. NULL with errno set. */
struct address_table *address_table_new(uint32_t nseats, uint32_t max_connections);
void address_table_free(struct address_table *table); /* NULL is fine */
/* By the master, when nobody has the seat. */
void address_table_clear_seat(struct address_table *table, uint32_t seat);

/* By the worker of the seat: one connection more; returns its place, for address_table_drop, or
 * ADDRESS_TABLE_NONE. */
uint32_t address_table_add(struct address_table *table, uint32_t seat,
                           const uint8_t address[ADDRESS_BYTES]);
/* One less. ADDRESS_TABLE_NONE is fine. */
void address_table_drop(struct address_table *table, uint32_t seat, uint32_t place);
/* Connections of that address, of all seats. */
uint32_t address_table_count(const struct address_table *table,
                             const uint8_t address[ADDRESS_BYTES]);
