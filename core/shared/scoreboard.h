/*
 * scoreboard.h - one slot per worker in memory that the master and all workers share.
 *
 * Mapped MAP_SHARED before the first fork, so it outlives any worker: when one dies, the master
 * reads from its slot what it was doing. A slot is written by its worker's loop thread alone (the
 * master clears it between two workers) and read by anyone; each field is one relaxed atomic, so a
 * reader may see fields of different moments. Names of routes are written once per generation, at
 * commit.
 */
#pragma once

#include "base/str.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SCOREBOARD_ROUTES = 1024, SCOREBOARD_ROUTE_BYTES = 96 };

struct scoreboard_slot {
    _Atomic int32_t pid;         /* 0: nobody */
    _Atomic uint64_t started_ms; /* CLOCK_MONOTONIC */
    _Atomic uint64_t beat_ms;  /* CLOCK_MONOTONIC; stored by a timer of the loop every second, so a
                                  beat older than `timeout` plus two seconds is a stuck loop */
    _Atomic uint64_t requests; /* answered, since the worker started */
    _Atomic uint64_t errors;   /* of those, answers of 500 and above */
    _Atomic uint32_t connections;  /* open now */
    _Atomic uint32_t in_flight;    /* requests begun and not answered */
    _Atomic uint32_t tasks;        /* alive now */
    _Atomic uint32_t lag_us;       /* the longest time the loop was held in the last second */
    _Atomic uint64_t memory_bytes; /* resident */
    _Atomic uint64_t lua_bytes;    /* in use in the current VM */
    _Atomic uint64_t generation;   /* current */
    _Atomic uint32_t generations_alive;
    _Atomic uint32_t running; /* number of the route whose Lua runs now, plus one; 0: none */
    _Atomic uint32_t nroutes; /* names filled in below */
    _Atomic uint32_t waiting[SCOREBOARD_ROUTES]; /* requests of this route that are suspended */
    char names[SCOREBOARD_ROUTES][SCOREBOARD_ROUTE_BYTES]; /* "GET /shop/{id:int}", cut to fit */
};

struct scoreboard;

/* Shared with children forked later. NULL with errno set. */
struct scoreboard *scoreboard_new(uint32_t nslots);
void scoreboard_free(struct scoreboard *board);
uint32_t scoreboard_count(const struct scoreboard *board);
struct scoreboard_slot *scoreboard_slot(struct scoreboard *board, uint32_t index);
/* Before a new worker takes the slot. */
void scoreboard_slot_clear(struct scoreboard_slot *slot);
/* Route numbers beyond SCOREBOARD_ROUTES are not shown. */
void scoreboard_slot_name_route(struct scoreboard_slot *slot, uint32_t route, struct str name);
/* "GET /slow (running), GET /sleep/{s} x3 (waiting)" into `text`; "no route" when there is none. */
void scoreboard_slot_describe(struct scoreboard_slot *slot, char *text, size_t bytes);
