/*
 * An upgrade's two ends: the workers that a master leaves to the program it becomes, and there.
 */
#include "server/handover.h"
#include "server/slots_state.h"

#include "base/log.h"

#include <signal.h>

void slots_hand_over(struct slots *slots, struct handover *handover)
{
    for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;) {
        struct handover_worker worker = {
            .slot = child->slot,
            .pid = child->pid,
            .fd = child->watch.fd,
            .started_ms = child->started_ms,
            .is_draining = child->state == CHILD_DRAINING,
        };
        handover_add_worker(handover, &worker);
    }
}

/* Has its place for as long as it serves; one that is no longer in it leaves. */
static void adopt(struct slots *slots, const struct handover_worker *worker)
{
    uint32_t seat_number = 0;
    struct slot *slot = &slots->slot[worker->slot];
    struct scoreboard_slot *seat = slots_take_seat(slots, &seat_number);
    if (seat == NULL) {
        log_error("worker %u (pid %d) finds no place after the upgrade: killed", worker->slot + 1,
                  (int)worker->pid);
        kill(worker->pid, SIGKILL);
        return;
    }
    scoreboard_slot_clear(seat);
    struct child *child =
        slots_add_child(slots, worker->slot, worker->pid, worker->fd, seat, seat_number);
    child->started_ms = worker->started_ms;
    child->is_former = true;
    child->state = CHILD_FORMER;
    if (worker->is_draining) {
        slots_await_end(child);
    } else if (slot->current == NULL) {
        slot->current = child;
        slot->is_rolling = true;
    } else { /* was to succeed it, as ours will */
        child_tell(child, NOTE_DRAIN, true, -1);
        slots_await_end(child);
    }
}

void slots_adopt(struct slots *slots, struct handover *handover)
{
    slots->is_steered = true; /* perhaps: the sockets know */
    slots->is_insisting = true;
    for (uint32_t i = 0; i < handover_nworkers(handover); i++) {
        struct handover_worker *worker = handover_worker(handover, i);
        if (worker->slot >= CONFIG_MAX_WORKERS)
            continue;
        adopt(slots, worker);
        worker->fd = -1;
    }
}
