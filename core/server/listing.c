#include "server/listing.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/payload.h"
#include "server/slots.h"

#include <stdlib.h>
#include <string.h>

struct listing {
    struct master_loop *loop;
    struct slots *slots;
    struct master_timer patience; /* runs during a round */
    void (*on_done)(void *data);
    void *data;
};

struct listing *listing_new(struct master_loop *loop, struct slots *slots,
                            void (*on_done)(void *data), void *data)
{
    struct listing *listing = MEM_NEW(struct listing);
    listing->loop = loop;
    listing->slots = slots;
    listing->on_done = on_done;
    listing->data = data;
    master_timer_init(&listing->patience);
    return listing;
}

void listing_free(struct listing *listing)
{
    if (listing == NULL)
        return;
    master_timer_stop(&listing->patience);
    free(listing);
}

static void finish(struct listing *listing)
{
    master_timer_stop(&listing->patience);
    listing->on_done(listing->data);
    for (struct child *child = NULL; (child = slots_next(listing->slots, child)) != NULL;)
        buf_deinit(&child->listed);
}

static void on_patience(struct master_timer *timer)
{
    finish(LIST_ENTRY(timer, struct listing, patience));
}

static void finish_if_all_told(struct listing *listing, const struct child *gone)
{
    if (!master_timer_is_running(&listing->patience))
        return;
    for (struct child *child = NULL; (child = slots_next(listing->slots, child)) != NULL;)
        if (child != gone && child->is_asked)
            return;
    finish(listing);
}

/* One that boots is busy with its first generation and would not answer soon. */
static void ask(struct child *child)
{
    struct note note = {.type = NOTE_LIST, .fd = -1};
    child->has_told = false;
    if (!child->is_asked && child->state != CHILD_BOOTING)
        child->is_asked = note_send(child->watch.fd, &note) == 0;
}

void listing_start(struct listing *listing)
{
    if (master_timer_is_running(&listing->patience))
        return;
    for (struct child *child = NULL; (child = slots_next(listing->slots, child)) != NULL;)
        ask(child);
    master_timer_start(listing->loop, &listing->patience, LISTING_MS, on_patience);
    finish_if_all_told(listing, NULL);
}

void listing_on_listed(struct listing *listing, struct child *child, const struct note *note)
{
    child->is_asked = false;
    if (!master_timer_is_running(&listing->patience))
        return; /* too late */
    buf_deinit(&child->listed);
    child->has_told = note->fd >= 0 && payload_read(note->fd, &child->listed) == 0;
    finish_if_all_told(listing, NULL);
}

void listing_on_gone(struct listing *listing, const struct child *child)
{
    finish_if_all_told(listing, child);
}
