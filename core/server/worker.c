#include "server/worker.h"

#include "base/exit_status.h"
#include "base/fault.h"
#include "base/helper.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/payload.h"
#include "base/snapshot.h"
#include "http/server.h"
#include "loop/loop.h"
#include "loop/timer.h"
#include "net/tls_file.h"
#include "net/tls_server.h"
#include "script/generation.h"
#include "script/topics.h"
#include "server/orphan.h"
#include "server/protocol.h"
#include "server/report.h"
#include "server/worker_memory.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    BEAT_MS = 1000,
    RETIRE_MS = 1000, /* a slot that is scaled away accepts as long: handshakes may be under way */
    ROUTES_BYTES = 512,
};

struct worker {
    const struct worker_boot *boot;
    struct loop *loop;
    struct topics *topics;
    struct generations *generations;
    struct generation *prepared; /* built, waits for COMMIT or ABORT */
    uint64_t prepared_number;
    struct http_server *server;
    struct tls_ticket_source tickets;
    struct fd_watch *master_watch;
    struct fd_watch *signal_watch;
    struct fd_watch *helper_watch; /* NULL: it has none, or it has ended */
    int signal_fd;
    struct timer beat;
    struct timer grace; /* runs while draining */
    struct timer retire;
    struct worker_memory memory;
    uint64_t max_requests; /* with its jitter; 0: none */
    bool is_serving;
    bool is_draining;
    bool has_lost_helper;
    bool has_asked;  /* for a successor */
    bool is_leaving; /* out of the loop */
    int exit_code;
};

_Static_assert((int)TLS_TICKET_KEY_BYTES == (int)TICKET_KEY_BYTES &&
                   (int)TLS_TICKET_NAME_BYTES == (int)TICKET_KEY_NAME_BYTES &&
                   (int)TLS_TICKETS_GOOD_S <= (TICKET_KEYS - 1) * (int)TICKET_KEYS_TURN_S,
               "tickets are opened as long as they are good");

static void say(struct worker *worker, enum note_type type, uint32_t detail, uint64_t number,
                int fd)
{
    struct note note = {.type = type, .detail = detail, .number = number, .fd = fd};
    int status = note_send(worker->boot->master_fd, &note);
    if (status < 0 && status != -EPIPE && status != -ECONNRESET)
        log_error("cannot tell the master: %s", strerror(-status));
}

/* Leaving */

static void on_scripts_idle(void *data)
{
    loop_stop(((struct worker *)data)->loop);
}

static void on_connections_gone(void *data)
{
    struct worker *worker = data;
    if (worker->is_leaving)
        return;
    generations_drain(worker->generations, on_scripts_idle, worker);
}

static void on_grace_over(struct timer *timer)
{
    struct worker *worker = LIST_ENTRY(timer, struct worker, grace);
    char routes[ROUTES_BYTES];
    scoreboard_slot_describe(worker->boot->slot, routes, sizeof(routes));
    struct log_field fields[] = {{"routes", str_of(routes)}};
    log_with(LOG_WARN, fields, 1, "graceful_timeout is over: cutting %u connections",
             http_server_connections(worker->server));
    loop_stop(worker->loop);
}

/* The master has its own of each. When it is gone, or has given up the slot, these were the last: a
 * port that nobody accepts on is free for the next server, not "in use" until the drain is over. */
static void close_listen_fds(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->boot->nlisten_fds; i++)
        close(worker->boot->listen_fds[i]);
}

/* `is_restart`: another serves in its place. */
static void drain(struct worker *worker, bool is_restart)
{
    if (worker->is_draining)
        return;
    worker->is_draining = true;
    timer_stop(worker->loop, &worker->retire);
    timer_start(worker->loop, &worker->grace, worker->boot->config->graceful_timeout_ms,
                on_grace_over);
    generations_quiesce(worker->generations, is_restart);
    http_server_drain(worker->server, on_connections_gone, worker); /* accepts what is queued */
    close_listen_fds(worker);
}

static void on_retire_due(struct timer *timer)
{
    drain(LIST_ENTRY(timer, struct worker, retire), true);
}

/* Building and switching */

static void forget_prepared(struct worker *worker)
{
    generation_free(worker->prepared);
    worker->prepared = NULL;
    worker->prepared_number = 0;
}

/* Builds the snapshot behind the descriptor and reports. False when nothing could be built. */
static bool prepare(struct worker *worker, uint64_t number, int snapshot_fd)
{
    struct fault fault = {0};
    struct buf bytes = {0};
    forget_prepared(worker);
    struct snapshot *snapshot = snapshot_map(snapshot_fd, &fault);
    if (snapshot != NULL)
        worker->prepared = generation_build(worker->generations, number, snapshot, &fault);
    worker->prepared_number = number;
    report_encode(&bytes, worker->prepared, &fault);
    int fd = payload_new(buf_str(&bytes));
    buf_deinit(&bytes);
    say(worker, NOTE_PREPARED, 0, number, fd);
    if (fd >= 0)
        close(fd);
    return worker->prepared != NULL;
}

static bool find_ticket_key(void *data, const uint8_t *name, uint8_t key[TLS_TICKET_KEY_BYTES],
                            bool *is_newest)
{
    return ticket_keys_find(data, name, key, is_newest);
}

/* The master has tried them: what fails here is ours. */
static void use_certificates(struct worker *worker, int fd)
{
    struct fault fault = {0};
    struct buf material = {0};
    int status = payload_read(fd, &material);
    struct tls_context *tls =
        status == 0 ? tls_context_new_server(buf_str(&material), &worker->tickets, &fault) : NULL;
    tls_file_forget(&material);
    if (tls != NULL)
        http_server_use_tls(worker->server, tls);
    else
        log_error("cannot take over the certificates: %s",
                  status != 0 ? strerror(-status) : fault.text);
}

static void start_serving(struct worker *worker)
{
    worker->is_serving = true;
    for (uint32_t i = 0; i < worker->boot->nlisten_fds; i++) {
        int status = http_server_listen(worker->server, worker->boot->listen_fds[i],
                                        worker->boot->listen_services[i]);
        if (status < 0)
            log_error("cannot accept on a listening socket: %s", strerror(-status));
    }
}

static void commit(struct worker *worker, uint64_t number)
{
    if (worker->is_draining)
        return;
    if (worker->prepared == NULL || worker->prepared_number != number) {
        log_error("told to commit generation %llu, which is not there", (unsigned long long)number);
        return;
    }
    generation_commit(worker->generations, worker->prepared);
    worker->prepared = NULL;
    if (!worker->is_serving)
        start_serving(worker);
}

static void tell_activity(struct worker *worker)
{
    struct buf rows = {0};
    generations_list(worker->generations, &rows);
    int fd = payload_new(buf_str(&rows));
    buf_deinit(&rows);
    say(worker, NOTE_LISTED, 0, 0, fd);
    if (fd >= 0)
        close(fd);
}

static void on_note(struct worker *worker, const struct note *note)
{
    int status;
    switch (note->type) {
    case NOTE_PREPARE:
        if (!worker->is_draining && note->fd >= 0)
            prepare(worker, note->number, note->fd);
        break;
    case NOTE_COMMIT:
        commit(worker, note->number);
        break;
    case NOTE_ABORT:
        if (worker->prepared_number == note->number)
            forget_prepared(worker);
        break;
    case NOTE_DRAIN:
        drain(worker, note->number != 0);
        break;
    case NOTE_RETIRE:
        timer_start(worker->loop, &worker->retire, RETIRE_MS, on_retire_due);
        break;
    case NOTE_CERTIFICATES:
        use_certificates(worker, note->fd);
        break;
    case NOTE_LIST:
        tell_activity(worker);
        break;
    case NOTE_REOPEN_LOGS:
        http_server_reopen_log(worker->server);
        if ((status = log_reopen()) < 0)
            log_error("cannot open the log anew: %s", strerror(-status));
        break;
    default:
        break;
    }
}

/* One message a turn, so that requests come between two builds. */
static void on_master_readable(void *data)
{
    struct worker *worker = data;
    struct note note;
    int status = note_receive(worker->boot->master_fd, &note);
    if (status == 0) {
        fd_watch_stop(worker->master_watch);
        worker->master_watch = NULL;
        if (!worker->is_draining)
            log_warn("the master is gone: leaving");
        drain(worker, false);
    } else if (status == 1) {
        on_note(worker, &note);
        if (note.fd >= 0)
            close(note.fd);
    }
}

static void on_signal(void *data)
{
    struct worker *worker = data;
    struct signalfd_siginfo info;
    if (read(worker->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGUSR1) {
        http_server_reopen_log(worker->server);
        log_reopen();
        return;
    }
    if (!worker->is_draining)
        say(worker, NOTE_LEAVING, 0, 0, -1);
    if (worker->is_draining || info.ssi_signo == SIGQUIT)
        loop_stop(worker->loop);
    else
        drain(worker, true);
}

/* The beat */

static void ask_for_successor(struct worker *worker, enum recycle_reason reason)
{
    worker->has_asked = true;
    say(worker, NOTE_RECYCLE, reason, 0, -1);
}

static void on_beat(struct timer *timer)
{
    struct worker *worker = LIST_ENTRY(timer, struct worker, beat);
    struct scoreboard_slot *slot = worker->boot->slot;
    const struct config *config = worker->boot->config;
    uint64_t now = loop_now_ms(worker->loop), memory = worker_memory_bytes();
    uint64_t late_ms = now > timer->due_ms ? now - timer->due_ms : 0;
    atomic_store_explicit(&slot->beat_ms, now, memory_order_relaxed);
    atomic_store_explicit(&slot->memory_bytes, memory, memory_order_relaxed);
    atomic_store_explicit(&slot->lua_bytes, generations_lua_bytes(worker->generations),
                          memory_order_relaxed);
    atomic_store_explicit(&slot->tasks, generations_tasks(worker->generations),
                          memory_order_relaxed);
    atomic_store_explicit(&slot->lag_us, (uint32_t)(late_ms * 1000), memory_order_relaxed);
    worker_memory_tend(&worker->memory, slot);
    timer_start(worker->loop, timer, BEAT_MS, on_beat);
    if (worker->has_asked || worker->is_draining || !worker->is_serving)
        return; /* one that is too large from the start serves for a second at least */
    if (config->max_memory != 0 && memory > config->max_memory)
        ask_for_successor(worker, RECYCLE_MEMORY);
    else if (worker->has_lost_helper) /* once a second at most, whatever ends it */
        ask_for_successor(worker, RECYCLE_HELPER);
    else if (worker->max_requests != 0 && atomic_load(&slot->requests) >= worker->max_requests)
        ask_for_successor(worker, RECYCLE_REQUESTS);
}

/* Nobody but the helper may start programs for us, and it is gone. */
static void on_helper_ended(void *data)
{
    struct worker *worker = data;
    char how[EXIT_TEXT_BYTES];
    fd_watch_stop(worker->helper_watch);
    worker->helper_watch = NULL;
    worker->has_lost_helper = true;
    helper_describe_end(how, sizeof(how));
    log_error("the process that starts programs for this worker has ended: %s", how);
}

/* Beginning and end */

/* Blocked before any thread is made, so that the threads inherit the mask. */
static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void pick_max_requests(struct worker *worker)
{
    const struct config *config = worker->boot->config;
    uint32_t random = (uint32_t)getpid() * 2654435761u;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        log_debug("no random number: %s", strerror(errno));
    uint64_t span = (uint64_t)config->max_requests_jitter + 1;
    if (config->max_requests != 0)
        worker->max_requests = config->max_requests + random % span;
}

static struct topics *open_topics(struct worker *worker)
{
    const struct worker_boot *boot = worker->boot;
    struct mailbox_post *post =
        boot->mailbox != NULL ? mailbox_open(boot->mailbox, boot->seat) : NULL;
    if (post == NULL && boot->mailbox != NULL)
        log_error("topics do not reach other workers: %s", strerror(errno));
    return topics_new(worker->loop, post, false);
}

static void open_worker(struct worker *worker)
{
    worker->signal_fd = open_signals();
    worker->loop = loop_new();
    ENSURE(worker->loop != NULL && worker->signal_fd >= 0);
    worker->generations = generations_new(worker->loop, worker->boot->config, worker->boot->slot);
    worker->topics = open_topics(worker);
    generations_use_topics(worker->generations, worker->topics);
    worker->server = http_server_new(worker->loop, worker->boot->config, worker->boot->slot,
                                     generations_handler(worker->generations));
    http_server_use_addresses(worker->server, worker->boot->addresses, worker->boot->seat);
    worker->tickets = (struct tls_ticket_source){find_ticket_key, worker->boot->ticket_keys};
    if (worker->boot->tls_fd >= 0) {
        use_certificates(worker, worker->boot->tls_fd);
        close(worker->boot->tls_fd);
    }
    worker->signal_watch = fd_watch_start(worker->loop, worker->signal_fd, on_signal, worker);
    worker->master_watch =
        fd_watch_start(worker->loop, worker->boot->master_fd, on_master_readable, worker);
    if (helper_end_fd() >= 0)
        worker->helper_watch =
            fd_watch_start(worker->loop, helper_end_fd(), on_helper_ended, worker);
    pick_max_requests(worker);
    timer_start(worker->loop, &worker->beat, 0, on_beat);
}

static void close_worker(struct worker *worker)
{
    timer_stop(worker->loop, &worker->beat);
    timer_stop(worker->loop, &worker->grace);
    timer_stop(worker->loop, &worker->retire);
    fd_watch_stop(worker->master_watch);
    fd_watch_stop(worker->signal_watch);
    fd_watch_stop(worker->helper_watch);
    forget_prepared(worker);
    worker->is_leaving = true;
    http_server_free(worker->server);
    loop_turn(
        worker->loop); /* connections close in a turn, and their handlers' tasks before the VM */
    generations_free(worker->generations);
    topics_free(worker->topics);
    loop_free(worker->loop);
    close(worker->signal_fd);
}

/* How names are looked up concerns each loop of ours, also those of threads and of the processes
 * that run jobs: they find it where `moonloop run` does. */
static void export_names(const struct config *config)
{
    char number[16];
    if (config->nameservers != NULL)
        setenv("MOONLOOP_NAMESERVERS", config->nameservers, 1);
    snprintf(number, sizeof(number), "%u", config->dns_cache);
    setenv("MOONLOOP_DNS_CACHE", number, 1);
    snprintf(number, sizeof(number), "%u", config->dns_max_ttl);
    setenv("MOONLOOP_DNS_MAX_TTL", number, 1);
}

int worker_run(const struct worker_boot *boot)
{
    struct worker worker = {.boot = boot};
    setvbuf(stdout, NULL, _IOLBF, 0); /* what a handler prints is in a log file at once */
    export_names(boot->config);
    orphan_expect(boot->config->graceful_timeout_ms);
    open_worker(&worker);
    if (prepare(&worker, boot->generation, boot->snapshot_fd))
        loop_run(worker.loop);
    else
        worker.exit_code = WORKER_EXIT_BOOT;
    close_worker(&worker);
    return worker.exit_code;
}
