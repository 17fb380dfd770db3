/*
 * What others ask of a reload.
 */
#include "server/reload_state.h"

uint64_t reload_generation(const struct reload *reload)
{
    return reload->number;
}

uint64_t reload_last_number(const struct reload *reload)
{
    return reload->last_number;
}

const struct report *reload_report(const struct reload *reload)
{
    return reload->report;
}

const struct failures *reload_failures(const struct reload *reload)
{
    return &reload->failures;
}

const char *reload_refusal(const struct reload *reload)
{
    return reload->refusal;
}

uint64_t reload_attempts_ended(const struct reload *reload)
{
    return reload->attempts_ended;
}

uint64_t reload_next_attempt(const struct reload *reload)
{
    return reload->attempts_begun + 1;
}
