#include "server/worker_memory.h"

#include "base/mem.h"
#include "shared/scoreboard.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

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
}
