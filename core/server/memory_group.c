#include "server/memory_group.h"

#include <stdio.h>
#include <string.h>

struct memory_group_kind {
    const char *controller; /* in /proc/PID/cgroup: "memory" of version 1, "" of version 2 */
    const char *root;
    const char *counter;
    const char *limit;
};

static const struct memory_group_kind kinds[] = {
    {"", "/sys/fs/cgroup", "memory.events", "memory.max"},
    {"", "/sys/fs/cgroup/unified", "memory.events", "memory.max"},
    {"memory", "/sys/fs/cgroup/memory", "memory.oom_control", "memory.limit_in_bytes"},
};

enum { KINDS = sizeof(kinds) / sizeof(*kinds), FILE_BYTES = MEMORY_GROUP_PATH_BYTES + 64 };

/* The path of a process's cgroup for a controller, "" for the root. */
static bool find_path(pid_t pid, const char *controller, char path[MEMORY_GROUP_PATH_BYTES])
{
    char name[64] = "/proc/self/cgroup", line[4096];
    bool is_found = false;
    if (pid != 0)
        snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
    FILE *file = fopen(name, "re");
    while (file != NULL && !is_found && fgets(line, sizeof(line), file) != NULL) {
        char *text = strchr(line, ':'), *end = text != NULL ? strchr(text + 1, ':') : NULL;
        if (end == NULL)
            continue;
        *end++ = '\0';
        end[strcspn(end, "\n")] = '\0';
        if (strcmp(text + 1, controller) == 0) {
            is_found = true;
            snprintf(path, MEMORY_GROUP_PATH_BYTES, "%s", strcmp(end, "/") == 0 ? "" : end);
        }
    }
    if (file != NULL)
        fclose(file);
    return is_found;
}

static FILE *open_file(const struct memory_group *group, const char *name)
{
    char path[FILE_BYTES];
    snprintf(path, sizeof(path), "%s/%s", group->directory, name);
    return fopen(path, "re");
}

bool memory_group_find(struct memory_group *group, pid_t pid)
{
    for (size_t i = 0; i < KINDS; i++) {
        char path[MEMORY_GROUP_PATH_BYTES];
        uint64_t count;
        if (!find_path(pid, kinds[i].controller, path))
            continue;
        group->kind = &kinds[i];
        int len = snprintf(group->directory, sizeof(group->directory), "%s%s", kinds[i].root, path);
        if (len < MEMORY_GROUP_PATH_BYTES && memory_group_oom_kills(group, &count))
            return true;
        /* Inside a container the cgroup file system begins at our own group. */
        snprintf(group->directory, sizeof(group->directory), "%s", kinds[i].root);
        if (memory_group_oom_kills(group, &count))
            return true;
    }
    *group = (struct memory_group){0};
    return false;
}

bool memory_group_is_root(const struct memory_group *group)
{
    return group->kind != NULL && strcmp(group->directory, group->kind->root) == 0;
}

bool memory_group_oom_kills(const struct memory_group *group, uint64_t *count)
{
    char key[64];
    unsigned long long number;
    bool is_found = false;
    FILE *file = group->kind != NULL ? open_file(group, group->kind->counter) : NULL;
    while (file != NULL && !is_found && fscanf(file, "%63s %llu", key, &number) == 2)
        if ((is_found = (strcmp(key, "oom_kill") == 0)))
            *count = number;
    if (file != NULL)
        fclose(file);
    return is_found;
}

bool memory_group_limit(const struct memory_group *group, uint64_t *bytes)
{
    static const unsigned long long none = 1ULL << 62; /* version 1 shows a little less than 2^63 */
    unsigned long long number = none;
    FILE *file = group->kind != NULL ? open_file(group, group->kind->limit) : NULL;
    bool is_number = file != NULL && fscanf(file, "%llu", &number) == 1; /* else "max" */
    if (file != NULL)
        fclose(file);
    *bytes = number;
    return is_number && number < none;
}
