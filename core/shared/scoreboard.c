#include "shared/scoreboard.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct scoreboard {
    uint32_t nslots;
    struct scoreboard_slot *slots; /* pages that no worker has written take no memory */
};

static size_t slots_bytes(uint32_t nslots)
{
    return (size_t)nslots * sizeof(struct scoreboard_slot);
}

struct scoreboard *scoreboard_new(uint32_t nslots)
{
    void *map = mmap(NULL, slots_bytes(nslots), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    struct scoreboard *board = MEM_NEW(struct scoreboard);
    board->nslots = nslots;
    board->slots = map;
    return board;
}

void scoreboard_free(struct scoreboard *board)
{
    if (board == NULL)
        return;
    munmap(board->slots, slots_bytes(board->nslots));
    free(board);
}

uint32_t scoreboard_count(const struct scoreboard *board)
{
    return board->nslots;
}

struct scoreboard_slot *scoreboard_slot(struct scoreboard *board, uint32_t index)
{
    ENSURE(index < board->nslots);
    return &board->slots[index];
}

void scoreboard_slot_clear(struct scoreboard_slot *slot)
{
    /* The names go with nroutes; leaving their bytes alone keeps untouched pages untouched. */
    memset(slot, 0, offsetof(struct scoreboard_slot, names));
}

void scoreboard_slot_name_route(struct scoreboard_slot *slot, uint32_t route, struct str name)
{
    if (route >= SCOREBOARD_ROUTES)
        return;
    size_t len = name.len < SCOREBOARD_ROUTE_BYTES ? name.len : SCOREBOARD_ROUTE_BYTES - 1;
    memcpy(slot->names[route], name.ptr, len);
    slot->names[route][len] = '\0';
    if (route >= atomic_load_explicit(&slot->nroutes, memory_order_relaxed))
        atomic_store_explicit(&slot->nroutes, route + 1, memory_order_release);
}

/* The slot may be that of a dying or even of a mad worker: nothing in it is trusted. */
static const char *route_name(const struct scoreboard_slot *slot, uint32_t route, char *text)
{
    memcpy(text, slot->names[route], SCOREBOARD_ROUTE_BYTES);
    text[SCOREBOARD_ROUTE_BYTES - 1] = '\0';
    return *text != '\0' ? text : "?";
}

static void append(char **text, size_t *bytes, bool *is_first, const char *name, const char *rest)
{
    int len = snprintf(*text, *bytes, "%s%s%s", *is_first ? "" : ", ", name, rest);
    size_t taken = len < 0 ? 0 : (size_t)len < *bytes ? (size_t)len : *bytes - 1;
    *text += taken;
    *bytes -= taken;
    *is_first = false;
}

void scoreboard_slot_describe(struct scoreboard_slot *slot, char *text, size_t bytes)
{
    char name[SCOREBOARD_ROUTE_BYTES], rest[32];
    bool is_first = true;
    uint32_t running = atomic_load_explicit(&slot->running, memory_order_relaxed);
    uint32_t nroutes = atomic_load_explicit(&slot->nroutes, memory_order_acquire);
    if (nroutes > SCOREBOARD_ROUTES)
        nroutes = SCOREBOARD_ROUTES;
    if (running != 0 && running <= nroutes)
        append(&text, &bytes, &is_first, route_name(slot, running - 1, name), " (running)");
    for (uint32_t i = 0; i < nroutes; i++) {
        uint32_t waiting = atomic_load_explicit(&slot->waiting[i], memory_order_relaxed);
        if (waiting == 0)
            continue;
        snprintf(rest, sizeof(rest), waiting > 1 ? " x%u (waiting)" : " (waiting)", waiting);
        append(&text, &bytes, &is_first, route_name(slot, i, name), rest);
    }
    if (is_first)
        append(&text, &bytes, &is_first, "no route", "");
}
