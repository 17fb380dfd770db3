#include "server/child.h"

#include "base/log.h"
#include "server/protocol.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

uint32_t child_number(const struct child *child)
{
    return child->slot + 1;
}

const char *child_state_name(const struct child *child)
{
    static const char *const names[] = {"booting", "serving", "draining", "former"};
    return names[child->state];
}

void child_tell(struct child *child, uint32_t type, uint64_t number, int fd)
{
    struct note note = {.type = type, .number = number, .fd = fd};
    int status = note_send(child->watch.fd, &note);
    if (status == -EAGAIN || status == -ENOBUFS)
        child_kill(child, "does not listen to the master any more");
    /* Any other failure: it is gone, and SIGCHLD is under way. */
}

void child_look(const struct child *child, struct child_facts *facts)
{
    *facts = (struct child_facts){0};
    if (child->is_former)
        return;
    scoreboard_slot_describe(child->seat, facts->routes, sizeof(facts->routes));
    snprintf(facts->memory, sizeof(facts->memory), "%.1f MB",
             (double)atomic_load(&child->seat->memory_bytes) / 1048576);
    facts->fields[0] = (struct log_field){"routes", str_of(facts->routes)};
    facts->fields[1] = (struct log_field){"memory", str_of(facts->memory)};
    facts->count = 2;
}

void child_kill(struct child *child, const char *why)
{
    struct child_facts facts;
    if (child->is_doomed)
        return;
    child_look(child, &facts);
    log_with(LOG_ERROR, facts.fields, facts.count, "worker %u (pid %d) %s: killed",
             child_number(child), (int)child->pid, why);
    child->is_doomed = true;
    kill(child->pid, SIGKILL);
}
