#include "server/child.h"

#include "base/log.h"
#include "server/protocol.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

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

/* The path of our cgroup for a controller: "memory" of version 1, "" of version 2. */
static bool cgroup_path(const char *controller, char *path, size_t bytes)
{
    char line[4096];
    bool is_found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file != NULL && !is_found && fgets(line, sizeof(line), file) != NULL) {
        char *name = strchr(line, ':'), *end = name != NULL ? strchr(name + 1, ':') : NULL;
        if (end == NULL)
            continue;
        *end = '\0';
        end[1 + strcspn(end + 1, "\n")] = '\0';
        if (strcmp(name + 1, controller) == 0) {
            is_found = true;
            snprintf(path, bytes, "%s", end + 1);
        }
    }
    if (file != NULL)
        fclose(file);
    return is_found;
}

/* The number behind `key` in a file of "key number" lines. */
static bool read_counter(const char *path, const char *key, uint64_t *value)
{
    char name[64];
    unsigned long long number;
    bool is_found = false;
    FILE *file = fopen(path, "re");
    while (file != NULL && !is_found && fscanf(file, "%63s %llu", name, &number) == 2)
        if ((is_found = (strcmp(name, key) == 0)))
            *value = number;
    if (file != NULL)
        fclose(file);
    return is_found;
}

uint64_t oom_kill_count(void)
{
    static const char *const patterns[][2] = {
        {"", "/sys/fs/cgroup%s/memory.events"},
        {"", "/sys/fs/cgroup/unified%s/memory.events"},
        {"memory", "/sys/fs/cgroup/memory%s/memory.oom_control"},
    };
    for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
        char group[1024], path[1200];
        uint64_t value;
        if (!cgroup_path(patterns[i][0], group, sizeof(group)))
            continue;
        snprintf(path, sizeof(path), patterns[i][1], strcmp(group, "/") == 0 ? "" : group);
        if (read_counter(path, "oom_kill", &value))
            return value;
        /* Inside a container the cgroup file system begins at our own group. */
        snprintf(path, sizeof(path), patterns[i][1], "");
        if (read_counter(path, "oom_kill", &value))
            return value;
    }
    return 0;
}
