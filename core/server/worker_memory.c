#include "server/worker_memory.h"

#include "base/mem.h"
#include "shared/scoreboard.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { LOST_LOOKS = 3, VOLUNTEER = 100, VOLUNTEER_MAX = 1000 };

void worker_memory_volunteer(void)
{
    int score;
    FILE *file = fopen("/proc/self/oom_score_adj", "r+e");
    if (file != NULL && fscanf(file, "%d", &score) == 1) {
        rewind(file);
        score += VOLUNTEER;
        fprintf(file, "%d", score < VOLUNTEER_MAX ? score : VOLUNTEER_MAX);
    }
    if (file != NULL)
        fclose(file);
}

uint64_t worker_memory_bytes(void)
{
    unsigned long long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL && fscanf(file, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    if (file != NULL)
        fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void worker_memory_tend(struct worker_memory *memory, struct scoreboard_slot *slot)
{
    uint64_t requests = atomic_load_explicit(&slot->requests, memory_order_relaxed);
    bool is_quiet = requests == memory->requests &&
                    atomic_load_explicit(&slot->in_flight, memory_order_relaxed) == 0;
    memory->requests = requests;
    if (is_quiet && !memory->has_given_back)
        mem_give_back();
    memory->has_given_back = is_quiet;
    memory->nshort = mem_is_short() ? memory->nshort + 1 : 0;
}

bool worker_memory_is_lost(const struct worker_memory *memory)
{
    return memory->nshort >= LOST_LOOKS;
}
