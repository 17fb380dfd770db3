/*
 * reload_state.h - the insides of a reload, for reload.c and the files beside it.
 */
#pragma once

#include "base/snapshot.h"
#include "server/probation.h"
#include "server/reload.h"

struct attempt {
    bool is_running;
    enum reload_cause cause;
    bool is_retried;  /* a worker died in it once already */
    bool is_hopeless; /* an app fails even with its last good files */
    uint64_t number;  /* of the generation that is built */
    uint64_t started_ms;
    struct snapshot *disk;      /* as it was read */
    struct snapshot *candidate; /* what is built: disk, or disk with apps held back */
    struct report *report;      /* the first worker's; the others' are alike */
    struct failures failures;   /* of all rounds */
};

struct reload {
    struct master_loop *loop;
    const struct config *config;
    struct slots *slots;
    struct watch *watch;
    struct master_timer patience;
    reload_done_fn on_done;
    void *on_done_data;

    struct snapshot *committed;
    struct probation probation; /* of the committed one */
    struct snapshot *tried;     /* the disk when apps failed last; NULL: none did */
    uint64_t number;            /* of the committed generation */
    uint64_t last_number;       /* ever given to one */
    struct report *report;
    struct failures failures;
    char *refusal;

    struct attempt attempt;
    bool wants_another; /* asked for while one runs */
    enum reload_cause wanted_cause;
    uint64_t attempts_begun;
    uint64_t attempts_ended;
};
