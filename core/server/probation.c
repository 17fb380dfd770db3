#include "server/probation.h"

#include <stddef.h>

void probation_deinit(struct probation *probation)
{
    snapshot_free(probation->former);
    *probation = (struct probation){0};
}

/* A generation that has itself killed workers is nothing to go back to. */
void probation_begin(struct probation *probation, struct snapshot *former, uint64_t number,
                     uint64_t now_ms)
{
    if (probation->deaths == 0 || probation->former == NULL) {
        snapshot_free(probation->former);
        probation->former = former;
        probation->former_number = number;
    } else {
        snapshot_free(former);
    }
    probation->began_ms = now_ms;
    probation->deaths = 0;
}

bool probation_count(struct probation *probation, uint64_t now_ms)
{
    if (probation->former == NULL || now_ms > probation->began_ms + PROBATION_MS)
        return false;
    return ++probation->deaths == PROBATION_DEATHS;
}

struct snapshot *probation_take_former(struct probation *probation)
{
    struct snapshot *former = probation->former;
    probation->former = NULL;
    probation->deaths = 0;
    return former;
}
