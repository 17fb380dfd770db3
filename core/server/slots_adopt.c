/*
 * An upgrade's two ends: the workers that a master leaves to the program it becomes, and there.
 */
#include "server/handover.h"
#include "server/slots_state.h"

#include "base/log.h"

#include <signal.h>
#include <sys/wait.h>

void slots_hand_over(struct slots *slots, struct handover *handover)
{
    for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;) {
        struct handover_worker worker = {
            .slot = child->slot,
            .pid = child->pid,
            .fd = child->watch.fd,
            .started_ms = child->started_ms,
            .is_draining = child->state == CHILD_DRAINING,
            .seat = child->keeps_seat ? (int)child->seat_number : -1,
        };
        handover_add_worker(handover, &worker);
    }
}

/* The one in which it takes part in topics, so that no other worker gets that, else any. */
static struct scoreboard_slot *take_seat(struct slots *slots, const struct handover_worker *worker,
                                         uint32_t *number)
{
    uint32_t wanted = (uint32_t)worker->seat;
    if (!slots->options.has_former_mailbox || worker->seat < 0 ||
        wanted >= scoreboard_count(slots->options.board))
        return slots_take_seat(slots, number);
    *number = wanted;
    return scoreboard_slot(slots->options.board, wanted);
}

/* One that has ended and been waited for by a program that crashed then: its number may be
 * anybody's. */
static bool is_child(pid_t pid)
{
    siginfo_t info;
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Has its place for as long as it serves; one that is no longer in it leaves. */
static void adopt(struct slots *slots, const struct handover_worker *worker)
{
    uint32_t seat_number = 0;
    struct slot *slot = &slots->slot[worker->slot];
    struct scoreboard_slot *seat = take_seat(slots, worker, &seat_number);
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
    child->keeps_seat = slots->options.has_former_mailbox && worker->seat == (int)seat_number;
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

static void adopt_all(struct slots *slots, struct handover *handover, bool has_seat)
{
    for (uint32_t i = 0; i < handover_nworkers(handover); i++) {
        struct handover_worker *worker = handover_worker(handover, i);
        if (worker->slot >= CONFIG_MAX_WORKERS || (worker->seat >= 0) != has_seat ||
            !is_child(worker->pid))
            continue;
        adopt(slots, worker);
        worker->fd = -1;
    }
}

void slots_adopt(struct slots *slots, struct handover *handover)
{
    slots->is_steered = true; /* perhaps: the sockets know */
    slots->is_insisting = true;
    adopt_all(slots, handover, true);
    adopt_all(slots, handover, false); /* these take what seats are left */
}
