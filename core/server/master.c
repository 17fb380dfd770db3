#include "server/master_state.h"

#include "base/log.h"
#include "base/mem.h"
#include "http/server.h"
#include "server/config_load.h"
#include "server/handover.h"
#include "server/proof.h"
#include "server/retreat.h"
#include "server/shared_dict.h"
#include "server/status.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORCE_EXTRA_MS = 3000, SHOWN_ROUTES = 40, SEATS = 2 * CONFIG_MAX_WORKERS };

/* Slots' events */

static void on_fork(void *data)
{
    struct master *master = data;
    int signal_fd = master->signals.fd;
    master_loop_disown(master->loop);
    close(signal_fd);
    watch_free(master->watch);
    control_close(master->control);
    background_leave(master->background);
    upgrade_leave(master->upgrade);
    notify_leave(master->notify);
    if (master->mailbox != NULL)
        mailbox_close_fd(master->mailbox);
    retreat_leave();
    close(master->start_dir);
}

static void fill_boot(void *data, struct worker_boot *boot)
{
    struct master *master = data;
    reload_fill_boot(master->reload, boot);
    certificates_fill_boot(master->certificates, boot);
}

static void on_prepared(void *data, struct child *child, uint64_t number, struct report *report)
{
    struct master *master = data;
    const char *verdict = reload_on_prepared(master->reload, child, number, report);
    if (verdict == NULL || master->is_announced || master->is_stopping || master->is_succeeding)
        return; /* after an upgrade the former workers go on, and it is tried again */
    master->problem = mem_copy_text(verdict);
    master->exit_code = 1;
    master_stop(master);
}

static void on_listed(void *data, struct child *child, const struct note *note)
{
    listing_on_listed(((struct master *)data)->listing, child, note);
}

static void on_crash(void *data, const struct child *child, const char *why)
{
    struct master *master = data;
    if (!master->is_stopping)
        reload_on_crash(master->reload, child, why);
}

static void on_roll_failed(void *data, const struct child *child, const char *why)
{
    requests_roll_failed(data, child, why);
}

static void on_gone(void *data, const struct child *child, const char *why)
{
    reload_on_gone(((struct master *)data)->reload, child, why);
    listing_on_gone(((struct master *)data)->listing, child);
    requests_look_at_restart(data);
}

static void on_empty(void *data)
{
    master_loop_stop(((struct master *)data)->loop);
}

static void print_routes(const struct report *report)
{
    struct buf text = {0};
    status_write_routes(report, false, &text);
    const char *end = text.ptr;
    size_t shown = 0, left = report->nroutes;
    for (; end != NULL && shown < SHOWN_ROUTES && left > 0; shown++, left--)
        end = strchr(end, '\n') + 1;
    if (text.len > 0)
        fwrite(text.ptr, 1, (size_t)(end - text.ptr), stdout);
    if (left > 0)
        printf("and %zu more: moonloop routes\n", left);
    buf_deinit(&text);
}

void master_tell_ready(struct master *master)
{
    char status[256];
    snprintf(status, sizeof(status), "%s at %s, %u worker%s, generation %llu",
             master->config->apps_dir, listen_sockets_url(master->sockets, 0),
             slots_wanted(master->slots), slots_wanted(master->slots) == 1 ? "" : "s",
             (unsigned long long)reload_generation(master->reload));
    notify_ready(master->notify, status);
}

/* Once, when every worker serves for the first time. */
static void announce(struct master *master)
{
    uint32_t nserving = 0;
    for (struct child *child = NULL; (child = slots_next(master->slots, child)) != NULL;)
        nserving += child->state == CHILD_SERVING;
    if (master->is_announced || nserving < slots_wanted(master->slots))
        return;
    master->is_announced = true;
    master_tell_ready(master);
    if (master->is_succeeding) {
        succession_end(master);
        return;
    }
    printf("moonloop %s serves %s with %u worker%s, pid %d\n", MOONLOOP_VERSION,
           master->config->apps_dir, nserving, nserving == 1 ? "" : "s", (int)getpid());
    for (uint32_t i = 0; i < listen_sockets_count(master->sockets); i++) {
        const char *url = listen_sockets_url(master->sockets, i);
        const char *reachable_url = listen_sockets_reachable_url(master->sockets, i);
        printf("%s\n", url);
        uint8_t service = listen_sockets_services(master->sockets)[i];
        if ((service & ~HTTP_EXPECTS_PROXY) == HTTP_REDIRECTS)
            printf("  leads to https\n");
        if ((service & HTTP_EXPECTS_PROXY) != 0)
            printf("  expects a PROXY header from %s\n", master->config->forwarded_allow_ips != NULL
                                                             ? master->config->forwarded_allow_ips
                                                             : "nobody");
        if (reachable_url != NULL)
            printf("  other machines reach it at %s\n", reachable_url);
        log_info("listening on %s", url);
    }
    if (reload_report(master->reload) != NULL)
        print_routes(reload_report(master->reload));
    fflush(stdout);
    background_tell(master->background, NULL);
    master->background = NULL;
}

static void on_serving(void *data, struct child *child)
{
    struct master *master = data;
    reload_on_serving(master->reload, child);
    announce(master);
    requests_look_at_restart(master);
}

static const struct slots_events slots_events = {
    .on_fork = on_fork,
    .fill_boot = fill_boot,
    .on_prepared = on_prepared,
    .on_listed = on_listed,
    .on_crash = on_crash,
    .on_roll_failed = on_roll_failed,
    .on_gone = on_gone,
    .on_serving = on_serving,
    .on_empty = on_empty,
};

/* Reload */

static void on_files_changed(void *data, bool is_outside)
{
    struct master *master = data;
    if (!master->is_stopping)
        reload_start(master->reload, is_outside ? RELOAD_SEEN_OUTSIDE : RELOAD_SEEN);
}

void master_set_watching(struct master *master)
{
    if (master->config->reload && master->watch == NULL)
        master->watch = watch_new(master->loop, master->config->apps_dir, on_files_changed, master);
    if (!master->config->reload) {
        watch_free(master->watch);
        master->watch = NULL;
    }
    reload_use_watch(master->reload, master->watch);
}

/* Signals */

static void on_force_due(struct master_timer *timer)
{
    struct master *master = LIST_ENTRY(timer, struct master, force);
    log_error("workers did not leave in time: killed");
    master->exit_code = 1;
    slots_kill(master->slots);
}

void master_stop(struct master *master)
{
    master->is_stopping = true;
    retreat_end();
    notify_stopping(master->notify);
    master_timer_start(master->loop, &master->force,
                       master->config->graceful_timeout_ms + FORCE_EXTRA_MS, on_force_due);
    requests_give_up(master);
    slots_stop(master->slots);
}

static void on_stop_signal(struct master *master, int number)
{
    if (master->is_stopping) {
        log_warn("SIG%s again: stopping at once", sigabbrev_np(number));
        slots_kill(master->slots);
        return;
    }
    log_info("SIG%s: stopping, requests have %.1f s", sigabbrev_np(number),
             (double)master->config->graceful_timeout_ms / 1000);
    master_stop(master);
}

static void scale_by(struct master *master, int difference)
{
    struct fault fault = {0};
    uint32_t wanted = slots_wanted(master->slots);
    if (master->is_stopping)
        return;
    if ((difference < 0 && wanted == 1) || (difference > 0 && wanted == CONFIG_MAX_WORKERS))
        log_warn("there are 1 to %d workers", CONFIG_MAX_WORKERS);
    else if (slots_scale(master->slots, (uint32_t)((int)wanted + difference), &fault) < 0)
        log_error("%s", fault.text);
}

static void reopen_logs(struct master *master)
{
    int status = log_reopen();
    if (status < 0)
        log_error("cannot open the log anew: %s", strerror(-status));
    privileges_give(&master->privileges, master->config->errorlog);
    slots_reopen_logs(master->slots);
    log_info("logs were opened anew");
}

static void on_hup(struct master *master)
{
    struct fault fault = {0};
    if (master->is_stopping)
        return;
    log_info("SIGHUP: reading configuration and apps anew");
    notify_reloading(master->notify);
    if (master_reload_config(master, &fault))
        reload_start(master->reload, RELOAD_ASKED); /* see requests_reload_done */
    else
        master_tell_ready(master);
}

static void on_signal(struct master_watch *watch)
{
    struct master *master = LIST_ENTRY(watch, struct master, signals);
    struct signalfd_siginfo info;
    struct fault fault = {0};
    if (read(watch->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    switch (info.ssi_signo) {
    case SIGCHLD:
        slots_reap(master->slots);
        break;
    case SIGHUP:
        on_hup(master);
        break;
    case SIGUSR1:
        reopen_logs(master);
        break;
    case SIGUSR2:
        succession_start(master, &fault);
        break;
    case SIGTTIN:
        scale_by(master, 1);
        break;
    case SIGTTOU:
        scale_by(master, -1);
        break;
    default:
        on_stop_signal(master, (int)info.ssi_signo);
    }
}

static int open_signals(struct master *master)
{
    static const int numbers[] = {SIGTERM, SIGINT,  SIGQUIT, SIGHUP, SIGUSR1,
                                  SIGUSR2, SIGTTIN, SIGTTOU, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a log at its size limit is a failed write, not our end */
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : master_watch_start(master->loop, &master->signals, fd, on_signal);
}

/* Boot */

/* Every worker holds thousands of connections; the soft limit of 1024 is for select(2). */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool settle_process(struct master *master, struct fault *fault)
{
    const struct config *config = master->config;
    raise_fd_limit();
    if (config->umask >= 0)
        umask((mode_t)config->umask);
    master->start_dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    retreat_use_directory(master->start_dir);
    if (config->chdir != NULL && chdir(config->chdir) != 0) {
        fault_set(fault, "chdir: %s: %s", config->chdir, strerror(errno));
        return false;
    }
    if (!privileges_find(config, &master->privileges, fault))
        return false;
    bool is_daemon = config->daemon && master->handover == NULL; /* else it is one already */
    if (is_daemon && (master->background = background_enter(fault)) == NULL)
        return false;
    return config->pidfile == NULL || pidfile_write(config->pidfile, fault);
}

/* The workers open it, too late for a refusal and perhaps as another user. */
static bool prepare_access_log(struct master *master, struct fault *fault)
{
    const struct config *config = master->config;
    if (!proof_of_log("accesslog", config->accesslog, fault))
        return false;
    privileges_give(&master->privileges, config->accesslog);
    return true;
}

static bool open_log(struct master *master, struct fault *fault)
{
    const struct config *config = master->config;
    bool is_nowhere =
        config->daemon && (config->errorlog == NULL || !strcmp(config->errorlog, "-"));
    const char *path = is_nowhere ? "/dev/null" : config->errorlog;
    int status = log_open(path, config->loglevel, config->log_format);
    log_set_role("master");
    if (status < 0)
        fault_set(fault, "errorlog: cannot open %s: %s", path, strerror(-status));
    else
        privileges_give(&master->privileges, config->errorlog);
    return status == 0;
}

/* Everything but the first fork. */
static bool boot(struct master *master, struct fault *fault)
{
    struct config *config = master->config;
    if (!handover_take(&master->handover, fault))
        return false;
    const struct handover *handover = master->handover;
    if (handover != NULL)
        succession_use_binds(handover, config);
    if (!settle_process(master, fault) || !open_log(master, fault) ||
        !prepare_access_log(master, fault) ||
        !shared_dict_prepare(config, &master->privileges,
                             handover != NULL ? handover->shared_path : NULL, fault))
        return false;
    master->started_ms = handover != NULL ? handover->started_ms : master_now_ms();
    uint32_t nworkers = handover != NULL ? handover->wanted : config->workers;
    uint64_t generation = handover != NULL ? handover->generation + 1 : 1;
    if ((master->loop = master_loop_new()) == NULL || open_signals(master) < 0 ||
        (master->board = scoreboard_new(SEATS)) == NULL) {
        fault_set(fault, "cannot start: %s", strerror(errno));
        return false;
    }
    master->notify = notify_new(master->loop);
    master->mailbox = succession_take_mailbox(master->handover, SEATS);
    bool has_former_mailbox = master->mailbox != NULL;
    if (master->mailbox == NULL && (master->mailbox = mailbox_new(SEATS)) == NULL)
        log_warn("topics do not reach other workers: %s", strerror(errno));
    master->addresses = address_table_new(SEATS, config->max_connections);
    if (master->addresses == NULL && config->limit_connections_per_ip != 0)
        log_warn("limit_connections_per_ip is off: %s", strerror(errno));
    if ((master->certificates = certificates_new(master->loop, config, fault)) == NULL)
        return false;
    if ((master->reload = reload_new(master->loop, config, generation, fault)) == NULL ||
        (master->sockets = listen_sockets_open(config, nworkers, master->handover, fault)) == NULL)
        return false;
    struct slots_options options = {
        .loop = master->loop,
        .board = master->board,
        .mailbox = master->mailbox,
        .has_former_mailbox = has_former_mailbox,
        .addresses = master->addresses,
        .sockets = master->sockets,
        .privileges = &master->privileges,
        .events = &slots_events,
        .data = master,
    };
    master->slots = slots_new(config, &options);
    reload_use_slots(master->reload, master->slots);
    certificates_use_slots(master->certificates, master->slots);
    reload_on_done(master->reload, requests_reload_done, master);
    succession_begin(master);
    master->listing = listing_new(master->loop, master->slots, requests_listing_done, master);
    master_set_watching(master);
    struct fault control_fault = {0};
    master->control = control_open(master->loop, config, master->handover, requests_answer, master,
                                   &control_fault);
    if (master->control == NULL)
        log_warn("%s; `moonloop status` and the like will not work", control_fault.text);
    handover_free(master->handover); /* sockets of slots that were being scaled away: their workers'
                                        alone now */
    master->handover = NULL;
    succession_settle(master);
    return true;
}

static void master_free(struct master *master)
{
    retreat_end();
    int signal_fd = master->signals.fd;
    shared_dict_remove();
    if (master->config->pidfile != NULL)
        pidfile_remove(master->config->pidfile);
    if (master->sockets != NULL)
        listen_sockets_unlink(master->sockets);
    control_unlink(master->control);
    listing_free(master->listing);
    upgrade_free(master->upgrade);
    notify_free(master->notify);
    handover_free(master->handover);
    slots_free(master->slots);
    certificates_free(master->certificates);
    watch_free(master->watch);
    reload_free(master->reload);
    listen_sockets_close(master->sockets);
    control_hold_until_exit(master->control);
    control_close(master->control);
    scoreboard_free(master->board);
    mailbox_free(master->mailbox);
    address_table_free(master->addresses);
    master_timer_stop(&master->force);
    master_loop_free(master->loop);
    if (signal_fd >= 0)
        close(signal_fd);
    close(master->start_dir);
    config_free(master->config);
    free(master->problem);
    free(master);
}

int master_run(struct config *config, const struct config_source *source)
{
    struct fault fault = {0};
    struct master *master = MEM_NEW(struct master);
    master->config = config;
    master->source = *source;
    master->start_dir = -1;
    master_watch_init(&master->signals);
    master_timer_init(&master->force);
    master_timer_init(&master->probation);
    if (boot(master, &fault)) {
        slots_start(master->slots);
        master_loop_run(master->loop);
        log_info("stopped");
    } else if (handover_can_return()) { /* nothing of the server ends: no clean-up */
        log_error("cannot start after the upgrade: %s", fault.text);
        return 1;
    } else {
        master->problem = mem_copy_text(fault.text);
        master->exit_code = 1;
    }
    if (master->problem != NULL && master->background == NULL)
        fprintf(stderr, "moonloop: %s\n", master->problem);
    background_tell(master->background, master->problem);
    int exit_code = master->exit_code;
    master_free(master);
    return exit_code;
}
