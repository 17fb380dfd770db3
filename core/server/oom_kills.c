#include "server/oom_kills.h"

#include <stdio.h>
#include <string.h>

static bool is_same(const struct memory_group *a, const struct memory_group *b)
{
    return a->kind == b->kind && strcmp(a->directory, b->directory) == 0;
}

static uint64_t count_own(struct oom_kills *kills)
{
    struct memory_group group = {0};
    uint64_t count = 0;
    if (memory_group_find(&group, 0))
        memory_group_oom_kills(&group, &count);
    if (!is_same(&group, &kills->own)) { /* somebody has moved us: its past is none of ours */
        kills->own = group;
        kills->explained = kills->seen = count;
    }
    return count;
}

void oom_kills_init(struct oom_kills *kills)
{
    *kills = (struct oom_kills){0};
    count_own(kills);
}

/* Whether the process was in a group that is known and not ours. */
static bool find_other(struct oom_kills *kills, pid_t pid, uint64_t *count)
{
    struct memory_group group = {0};
    if (!memory_group_find(&group, pid) || is_same(&group, &kills->own) ||
        memory_group_is_root(&group) || !memory_group_oom_kills(&group, count))
        return false;
    if (!is_same(&group, &kills->other)) /* one of its own: nobody has died in it before */
        kills->other_explained = 0;
    kills->other = group;
    return true;
}

bool oom_kills_explain(struct oom_kills *kills, pid_t pid, char text[OOM_TEXT_BYTES])
{
    char limit_text[64];
    uint64_t count = 0, limit, own_count = count_own(kills);
    bool is_other = find_other(kills, pid, &count);
    const struct memory_group *group = is_other ? &kills->other : &kills->own;
    uint64_t *explained = is_other ? &kills->other_explained : &kills->explained;
    if (!is_other)
        count = own_count;
    if (count <= *explained)
        return false;
    snprintf(limit_text, sizeof(limit_text), "it has no limit of its own");
    if (memory_group_limit(group, &limit))
        snprintf(limit_text, sizeof(limit_text), "its limit is %.1f MB", (double)limit / 1048576);
    snprintf(text, OOM_TEXT_BYTES,
             "out of memory: the kernel chose it (its cgroup's oom_kill is %llu, was %llu; %s)",
             (unsigned long long)count, (unsigned long long)*explained, limit_text);
    *explained += 1;
    return true;
}

bool oom_kills_look(struct oom_kills *kills, char text[OOM_TEXT_BYTES])
{
    uint64_t count = count_own(kills);
    bool is_left = count > kills->explained && count == kills->seen;
    kills->seen = count;
    if (count < kills->explained) /* a new group of the same name */
        kills->explained = count;
    if (!is_left)
        return false;
    snprintf(text, OOM_TEXT_BYTES,
             "out of memory: the kernel has killed a process of this cgroup that is no worker "
             "(its oom_kill is %llu, was %llu)",
             (unsigned long long)count, (unsigned long long)kills->explained);
    kills->explained = count;
    return true;
}
