#include "server/cpu_count.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

static uint32_t affinity_count(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? (uint32_t)count : 1;
}

/* Up to two words of a small file; how many there were. */
static int read_words(const char *path, char *first, char *second)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    int count = fscanf(file, "%31s %31s", first, second);
    fclose(file);
    return count;
}

/* Processors from a quota and a period in microseconds; 0: no quota. */
static uint32_t from_quota(const char *quota_text, const char *period_text)
{
    long long quota = 0, period = 0;
    if (sscanf(quota_text, "%lld", &quota) != 1 || sscanf(period_text, "%lld", &period) != 1 ||
        quota <= 0 || period <= 0)
        return 0;
    return (uint32_t)((quota + period - 1) / period);
}

/* Version 2: "cpu.max" holds "QUOTA PERIOD" or "max PERIOD". */
static uint32_t quota_v2(const char *dir)
{
    char path[PATH_BYTES + 32], quota[32], period[32];
    snprintf(path, sizeof(path), "%s/cpu.max", dir);
    return read_words(path, quota, period) == 2 ? from_quota(quota, period) : 0;
}

static uint32_t quota_v1(const char *dir)
{
    char path[PATH_BYTES + 32], quota[32], period[32], unused[32];
    snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", dir);
    if (read_words(path, quota, unused) < 1)
        return 0;
    snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", dir);
    return read_words(path, period, unused) >= 1 ? from_quota(quota, period) : 0;
}

/* The smallest quota from `root` + `group` up to `root`; 0: none. */
static uint32_t smallest_quota(const char *root, const char *group,
                               uint32_t (*read_quota)(const char *dir))
{
    char dir[PATH_BYTES];
    uint32_t smallest = 0;
    snprintf(dir, sizeof(dir), "%s%s", root, group);
    for (;;) {
        uint32_t quota = read_quota(dir);
        if (quota != 0 && (smallest == 0 || quota < smallest))
            smallest = quota;
        char *slash = strrchr(dir, '/');
        if (strlen(dir) <= strlen(root) || slash == NULL)
            return smallest;
        *slash = '\0';
    }
}

static bool has_controller(const char *list, const char *wanted)
{
    size_t len = strlen(wanted);
    for (const char *at = list; (at = strstr(at, wanted)) != NULL; at += len)
        if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
            return true;
    return false;
}

uint32_t cpu_count(void)
{
    char line[PATH_BYTES];
    uint32_t count = affinity_count();
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *names = strchr(line, ':'), *group = names != NULL ? strchr(names + 1, ':') : NULL;
        uint32_t quota = 0;
        if (group == NULL)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (names[1] == '\0')
            quota = smallest_quota("/sys/fs/cgroup", group, quota_v2);
        else if (has_controller(names + 1, "cpu"))
            quota = smallest_quota("/sys/fs/cgroup/cpu", group, quota_v1);
        if (quota != 0 && quota < count)
            count = quota;
    }
    if (file != NULL)
        fclose(file);
    return count;
}
