#include "server/reload_state.h"

#include "base/log.h"
#include "base/mem.h"
#include "server/held_back.h"
#include "server/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREPARE_TIMEOUT_MS = 10000, BOOT_PATIENCE_MS = 1000 };

static void begin(struct reload *reload, enum reload_cause cause);

struct reload *reload_new(struct master_loop *loop, const struct config *config, uint64_t number,
                          struct fault *fault)
{
    struct snapshot *first = snapshot_read(config->apps_dir, fault);
    if (first == NULL)
        return NULL;
    struct reload *reload = MEM_NEW(struct reload);
    reload->loop = loop;
    reload->config = config;
    reload->committed = first;
    reload->number = reload->last_number = number;
    master_timer_init(&reload->patience);
    return reload;
}

static void attempt_deinit(struct attempt *attempt)
{
    if (attempt->candidate != attempt->disk)
        snapshot_free(attempt->candidate);
    snapshot_free(attempt->disk);
    report_free(attempt->report);
    failures_clear(&attempt->failures);
    *attempt = (struct attempt){0};
}

void reload_free(struct reload *reload)
{
    if (reload == NULL)
        return;
    attempt_deinit(&reload->attempt);
    master_timer_stop(&reload->patience);
    snapshot_free(reload->committed);
    probation_deinit(&reload->probation);
    snapshot_free(reload->tried);
    report_free(reload->report);
    failures_clear(&reload->failures);
    free(reload->refusal);
    free(reload);
}

void reload_use_config(struct reload *reload, const struct config *config)
{
    reload->config = config;
}

void reload_use_slots(struct reload *reload, struct slots *slots)
{
    reload->slots = slots;
}

void reload_use_watch(struct reload *reload, struct watch *watch)
{
    reload->watch = watch;
    if (watch != NULL && reload->report != NULL)
        watch_set_files(watch, reload->report->files, reload->report->nfiles);
}

void reload_on_done(struct reload *reload, reload_done_fn on_done, void *data)
{
    reload->on_done = on_done;
    reload->on_done_data = data;
}

void reload_fill_boot(struct reload *reload, struct worker_boot *boot)
{
    boot->snapshot_fd = snapshot_fd(reload->committed);
    boot->generation = reload->number;
}

/* The report of the committed generation, from the first worker that built it. */
static void keep_report(struct reload *reload, struct report *report)
{
    report_free(reload->report);
    reload->report = report;
    if (reload->watch != NULL)
        watch_set_files(reload->watch, report->files, report->nfiles);
}

static void tell(struct reload *reload, enum reload_outcome outcome, const char *reason)
{
    reload->attempts_ended++;
    if (reload->on_done != NULL)
        reload->on_done(reload->on_done_data, outcome, reason);
    if (reload->wants_another)
        begin(reload, reload->wanted_cause);
}

/* What the attempt found out stays for `status`. A disk whose apps failed need not be tried again
 * before it changes. */
static void end(struct reload *reload, enum reload_outcome outcome, const char *reason)
{
    struct attempt *attempt = &reload->attempt;
    char *text = mem_copy_text(reason);
    master_timer_stop(&reload->patience);
    free(reload->refusal);
    reload->refusal = outcome == RELOAD_REFUSED ? mem_copy_text(reason) : NULL;
    snapshot_free(reload->tried);
    reload->tried = NULL;
    if (attempt->failures.count > 0 && attempt->disk != NULL) {
        reload->tried = attempt->disk;
        if (attempt->candidate == attempt->disk)
            attempt->candidate = NULL;
        attempt->disk = NULL;
    }
    failures_clear(&reload->failures);
    reload->failures = attempt->failures;
    attempt->failures = (struct failures){0};
    attempt_deinit(attempt);
    tell(reload, outcome, text);
    free(text);
}

/* The disk is as it was when this was last looked into. */
static void end_unchanged(struct reload *reload)
{
    enum reload_outcome outcome = reload->refusal != NULL       ? RELOAD_REFUSED
                                  : reload->failures.count != 0 ? RELOAD_PARTIAL
                                                                : RELOAD_COMMITTED;
    attempt_deinit(&reload->attempt);
    tell(reload, outcome, "nothing has changed");
}

static void refuse(struct reload *reload, const char *reason)
{
    failures_log(&reload->attempt.failures);
    log_error("generation %llu is refused: %s; generation %llu goes on",
              (unsigned long long)reload->attempt.number, reason,
              (unsigned long long)reload->number);
    for (struct child *child = NULL; (child = slots_next(reload->slots, child)) != NULL;)
        if (child->state == CHILD_SERVING)
            child_tell(child, NOTE_ABORT, reload->attempt.number, -1);
    end(reload, RELOAD_REFUSED, reason);
}

static void on_impatience(struct master_timer *timer)
{
    struct reload *reload = LIST_ENTRY(timer, struct reload, patience);
    for (struct child *child = NULL; (child = slots_next(reload->slots, child)) != NULL;)
        if (child->state == CHILD_SERVING && child->prepared != reload->attempt.number)
            log_error("worker %u (pid %d) has not built generation %llu within %d s",
                      child_number(child), (int)child->pid,
                      (unsigned long long)reload->attempt.number, PREPARE_TIMEOUT_MS / 1000);
    refuse(reload, "the apps take more than 10 s to load");
}

/* Gives the candidate to every worker that serves. How many those are. */
static size_t prepare(struct reload *reload)
{
    size_t count = 0;
    struct attempt *attempt = &reload->attempt;
    attempt->number = ++reload->last_number;
    report_free(attempt->report);
    attempt->report = NULL;
    master_timer_start(reload->loop, &reload->patience, PREPARE_TIMEOUT_MS, on_impatience);
    for (struct child *child = NULL; (child = slots_next(reload->slots, child)) != NULL;) {
        if (child->state != CHILD_SERVING)
            continue;
        child_tell(child, NOTE_PREPARE, attempt->number, snapshot_fd(attempt->candidate));
        count++;
    }
    return count;
}

static void take_over_candidate(struct reload *reload)
{
    struct attempt *attempt = &reload->attempt;
    probation_begin(&reload->probation, reload->committed, reload->number, master_now_ms());
    reload->committed = attempt->candidate;
    if (attempt->disk == attempt->candidate)
        attempt->disk = NULL;
    attempt->candidate = attempt->disk;
    reload->number = attempt->number;
}

static void commit(struct reload *reload)
{
    struct attempt *attempt = &reload->attempt;
    for (struct child *child = NULL; (child = slots_next(reload->slots, child)) != NULL;)
        if (child->state == CHILD_SERVING)
            slots_commit(reload->slots, child, attempt->number);
    take_over_candidate(reload);
    keep_report(reload, attempt->report);
    attempt->report = NULL;
    failures_log(&attempt->failures);
    log_info("generation %llu is live: %zu apps, %zu routes, built in %llu ms",
             (unsigned long long)reload->number, reload->report->napps, reload->report->nroutes,
             (unsigned long long)(master_now_ms() - attempt->started_ms));
    bool is_whole = attempt->failures.count == 0;
    end(reload, is_whole ? RELOAD_COMMITTED : RELOAD_PARTIAL,
        is_whole ? "the new code is live" : "some apps did not load");
}

/* Workers that have been busy with the old code for long may never come to its end. */
static void replace_booting(struct reload *reload)
{
    for (struct child *child = NULL; (child = slots_next(reload->slots, child)) != NULL;)
        if (child->state == CHILD_BOOTING && child->prepared == 0 &&
            child->started_ms + BOOT_PATIENCE_MS < master_now_ms())
            child_kill(child, "still loads code that has changed since");
}

/* Nobody serves, so there is nobody to prove it and nobody to disturb: workers boot from it. */
static void commit_unproven(struct reload *reload)
{
    take_over_candidate(reload);
    report_free(reload->report);
    reload->report = NULL;
    replace_booting(reload);
    slots_forgive(reload->slots);
    end(reload, RELOAD_COMMITTED, "no worker was serving; new ones start from the new code");
}

/* The candidate without the apps that failed; built once more. */
static void hold_back(struct reload *reload)
{
    struct attempt *attempt = &reload->attempt;
    struct fault fault = {0};
    struct str *names = mem_zeroed((attempt->failures.count + 1) * sizeof(*names));
    size_t count = held_back_mark(&attempt->failures, reload->report, names);
    struct snapshot *next = NULL;
    if (count > 0)
        next = snapshot_hold_back(attempt->disk, reload->committed, names, count, &fault);
    free(names);
    if (count == 0) {
        commit(reload); /* apps that never loaded: their routes answer an error page */
        return;
    }
    if (next == NULL) {
        refuse(reload, fault.text);
        return;
    }
    if (attempt->candidate != attempt->disk)
        snapshot_free(attempt->candidate);
    attempt->candidate = next;
    if (attempt->cause != RELOAD_SEEN_OUTSIDE &&
        !held_back_has_news(&attempt->failures, attempt->disk, reload->committed) &&
        !held_back_has_news(&attempt->failures, reload->committed, attempt->disk))
        refuse(reload, count == 1 ? "the app that changed did not load"
                                  : "the apps that changed did not load");
    else
        prepare(reload);
}

/* Once every serving worker has built the candidate. */
static void judge(struct reload *reload)
{
    struct attempt *attempt = &reload->attempt;
    if (attempt->is_hopeless) {
        refuse(reload, "an app fails even with its last good files");
        return;
    }
    size_t to_hold_back = 0;
    for (size_t i = 0; i < attempt->failures.count; i++)
        to_hold_back +=
            !attempt->failures.list[i].is_held_back &&
            held_back_is_possible(reload->report, str_of(attempt->failures.list[i].app));
    if (to_hold_back > 0)
        hold_back(reload);
    else
        commit(reload);
}

static bool is_everyone_ready(const struct reload *reload)
{
    for (struct child *child = NULL; (child = slots_next(reload->slots, child)) != NULL;)
        if (child->state == CHILD_SERVING && child->prepared != reload->attempt.number)
            return false;
    return reload->attempt.report != NULL;
}

static void on_candidate_built(struct reload *reload, struct report *report)
{
    struct attempt *attempt = &reload->attempt;
    if (!report->is_built) {
        char reason[FAULT_TEXT_BYTES];
        snprintf(reason, sizeof(reason), "%.*s", (int)report->fault.len, report->fault.ptr);
        report_free(report);
        refuse(reload, reason);
        return;
    }
    for (size_t i = 0; i < report->napps; i++)
        if (!report->apps[i].is_ok && held_back_is(&attempt->failures, report->apps[i].name))
            attempt->is_hopeless = true;
    failures_add(&attempt->failures, report);
    if (attempt->report == NULL)
        attempt->report = report;
    else
        report_free(report);
    if (is_everyone_ready(reload))
        judge(reload);
}

/* A worker that boots has built the committed generation. */
static void on_committed_built(struct reload *reload, struct child *child, struct report *report)
{
    if (reload->report != NULL) {
        report_free(report);
    } else {
        failures_add(&reload->failures, report);
        failures_log(&reload->failures);
        keep_report(reload, report);
    }
    slots_commit(reload->slots, child, reload->number);
}

const char *reload_on_prepared(struct reload *reload, struct child *child, uint64_t number,
                               struct report *report)
{
    const char *verdict = NULL;
    if (child->state == CHILD_BOOTING && !report->is_built) {
        free(reload->refusal);
        reload->refusal = mem_copy_bytes(report->fault.ptr, report->fault.len);
        log_error("worker %u cannot boot: %.*s", child_number(child),
                  (int)strcspn(reload->refusal, "\n"), reload->refusal);
        verdict = reload->report == NULL ? reload->refusal : NULL;
        report_free(report);
    } else if (child->state == CHILD_BOOTING && number == reload->number) {
        on_committed_built(reload, child, report);
    } else if (child->state == CHILD_BOOTING) {
        /* It began before the last commit: it has to build the newer one before it serves. */
        report_free(report);
        child_tell(child, NOTE_PREPARE, reload->number, snapshot_fd(reload->committed));
    } else if (child->state == CHILD_SERVING && reload->attempt.is_running &&
               number == reload->attempt.number) {
        on_candidate_built(reload, report);
    } else {
        report_free(report); /* of an attempt that is over */
    }
    return verdict;
}

void reload_on_serving(struct reload *reload, struct child *child)
{
    struct attempt *attempt = &reload->attempt;
    if (attempt->is_running)
        child_tell(child, NOTE_PREPARE, attempt->number, snapshot_fd(attempt->candidate));
}

void reload_on_gone(struct reload *reload, const struct child *child, const char *why)
{
    struct attempt *attempt = &reload->attempt;
    char reason[256];
    if (!attempt->is_running)
        return;
    if (child->state != CHILD_SERVING || child->prepared == attempt->number) {
        if (is_everyone_ready(reload))
            judge(reload);
        return;
    }
    if (!attempt->is_retried) {
        /* Perhaps it died of something else. */
        attempt->is_retried = true;
        if (prepare(reload) > 0)
            return;
    }
    snprintf(reason, sizeof(reason), "worker %u died while it built it: %s", child_number(child),
             why);
    refuse(reload, reason);
}

/* The code on the disk is not tried again before it changes. Its workers go on until each has a
 * successor: those that have not met what kills them serve. */
static void fall_back(struct reload *reload, const char *why)
{
    char reason[256];
    uint64_t bad = reload->number;
    snprintf(reason, sizeof(reason),
             "workers died of it %d times just after it had become live: %s", PROBATION_DEATHS,
             why);
    if (reload->attempt.is_running)
        refuse(reload, "the generation before it has failed");
    snapshot_free(reload->tried);
    reload->tried = reload->committed;
    reload->committed = probation_take_former(&reload->probation);
    reload->number = ++reload->last_number;
    report_free(reload->report);
    reload->report = NULL;
    failures_clear(&reload->failures);
    free(reload->refusal);
    reload->refusal = mem_copy_text(reason);
    log_error("generation %llu is taken back: %s; generation %llu is live again, as %llu",
              (unsigned long long)bad, reason, (unsigned long long)reload->probation.former_number,
              (unsigned long long)reload->number);
    slots_forgive(reload->slots);
    slots_roll(reload->slots, SLOTS_INSIST);
}

void reload_on_crash(struct reload *reload, const struct child *child, const char *why)
{
    bool is_of_new_code =
        child->committed == reload->number ||
        (child->state == CHILD_BOOTING && child->started_ms >= reload->probation.began_ms);
    if (is_of_new_code && probation_count(&reload->probation, master_now_ms()))
        fall_back(reload, why);
}

/* Reads the disk and starts. Nothing to do is a success. */
static void begin(struct reload *reload, enum reload_cause cause)
{
    struct attempt *attempt = &reload->attempt;
    struct fault fault = {0};
    reload->wants_another = false;
    reload->wanted_cause = RELOAD_SEEN;
    reload->attempts_begun++;
    attempt->is_running = true;
    attempt->cause = cause;
    attempt->started_ms = master_now_ms();
    attempt->disk = attempt->candidate = snapshot_read(reload->config->apps_dir, &fault);
    if (attempt->disk == NULL) {
        attempt->number = reload->last_number + 1;
        refuse(reload, fault.text);
        return;
    }
    bool is_tried = reload->tried != NULL && snapshot_equal(attempt->disk, reload->tried);
    if (cause == RELOAD_SEEN && is_tried) {
        end_unchanged(reload);
        return;
    }
    /* After a refusal the same bytes are built again: the workers forget what they were told. */
    if (cause == RELOAD_SEEN && reload->report != NULL && reload->tried == NULL &&
        snapshot_equal(attempt->disk, reload->committed)) {
        failures_add(&attempt->failures, reload->report);
        end(reload, attempt->failures.count == 0 ? RELOAD_COMMITTED : RELOAD_PARTIAL,
            "nothing has changed");
        return;
    }
    if (prepare(reload) == 0)
        commit_unproven(reload);
}

void reload_start(struct reload *reload, enum reload_cause cause)
{
    if (!reload->attempt.is_running) {
        begin(reload, cause);
        return;
    }
    reload->wants_another = true;
    if (cause > reload->wanted_cause)
        reload->wanted_cause = cause;
}
