#include "http/pool.h"

#include "base/mem.h"
#include "base/str.h"
#include "http/answer_head.h"
#include "http/fetch.h"
#include "http/outgoing.h"
#include "http/pool_state.h"
#include "http/proxy.h"
#include "http/query.h"
#include "loop/loop.h"
#include "net/resolve.h"
#include "net/stream.h"
#include "net/tls.h"
#include "net/tls_client.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPARE_FETCHES = 256 };

static struct tls_context *make_tls(const struct pool_options *options, struct fault *fault)
{
    struct tls_client_options tls = {
        .verify = options->verify,
        .ca_file = options->ca_file,
        .cert_file = options->cert_file,
        .key_file = options->key_file,
    };
    return tls_context_new_client(&tls, fault);
}

struct tls_context *pool_tls(struct pool *pool)
{
    struct fault fault = {0};
    if (pool->tls == NULL)
        pool->tls = make_tls(&pool->options, &fault);
    ENSURE(pool->tls != NULL); /* only the user's files can be at fault */
    return pool->tls;
}

struct pool *pool_new(struct loop *loop, const struct pool_options *options, struct fault *fault)
{
    struct tls_context *tls = NULL;
    bool has_files = options->ca_file != NULL || options->cert_file != NULL;
    if (has_files && (tls = make_tls(options, fault)) == NULL)
        return NULL;
    struct pool *pool = MEM_NEW(struct pool);
    pool->loop = loop;
    pool->tls = tls;
    pool->options = *options;
    pool->options.ca_file = pool->options.cert_file = pool->options.key_file = NULL;
    pool->options.nameservers = NULL;
    pool->idle_deadlines = deadline_queue(loop, options->idle_ms);
    link_init(&pool->origins);
    link_init(&pool->duplexes);
    if (options->open_socket == NULL) {
        pool->resolver = resolver_get(loop, options->nameservers, fault);
        if (pool->resolver == NULL) {
            tls_context_free(pool->tls);
            free(pool);
            return NULL;
        }
    }
    return pool;
}

bool pool_is_local(const struct pool *pool)
{
    return pool->options.open_socket != NULL;
}

struct loop *pool_loop(const struct pool *pool)
{
    return pool->loop;
}

struct pool_counts pool_count(const struct pool *pool)
{
    struct pool_counts counts = {.reused = pool->nreused};
    counts.resumed = pool->tls != NULL ? tls_context_resumed(pool->tls) : 0;
    for (struct link *at = pool->origins.next; at != &pool->origins; at = at->next) {
        struct origin *origin = LIST_ENTRY(at, struct origin, link);
        counts.connections += origin->nconns;
        counts.idle += origin->nidle;
        counts.waiting += origin->nqueued;
    }
    return counts;
}

static void add_name(struct buf *name, const struct origin *origin)
{
    static const char *const schemes[] = {"http", "https", "http+unix"};
    bool is_ipv6 = origin->unix_path == NULL && strchr(origin->host, ':') != NULL;
    buf_printf(name, is_ipv6 ? "%s://[%s]" : "%s://%s", schemes[origin->scheme], origin->host);
    if (origin->unix_path == NULL)
        buf_printf(name, ":%u", origin->port);
    if (origin->proxy != NULL)
        buf_printf(name, " via %s", origin->proxy->name);
    buf_add_char(name, '\0');
}

void pool_each(const struct pool *pool,
               void (*on_origin)(void *data, const char *name, const struct pool_counts *counts),
               void *data)
{
    struct buf name = {0};
    for (struct link *at = pool->origins.next; at != &pool->origins; at = at->next) {
        struct origin *origin = LIST_ENTRY(at, struct origin, link);
        struct pool_counts counts = {origin->nconns, origin->nidle, origin->nqueued, 0, 0};
        name.len = 0;
        add_name(&name, origin);
        on_origin(data, name.ptr, &counts);
    }
    buf_deinit(&name);
}

/* ---- origins ---- */

/* The decoded path of http+unix://%2Frun%2Fapp.sock/ */
static char *decode_path(struct str host)
{
    char *path = mem_zeroed(host.len + 1);
    path[percent_decode(path, host, PERCENT_PLAIN)] = '\0';
    return path;
}

/* Where an exchange's connection leads: to the target, or to the proxy that it is given to. */
struct place {
    int scheme;
    uint16_t port;
    struct str host;
    const struct proxy *tunnel; /* NULL: straight there */
};

static struct place place_of(const struct fetch *fetch)
{
    const struct outgoing *request = fetch->request;
    const struct url *url = &request->url;
    const struct proxy *proxy = request->proxy;
    if (request->is_forwarded)
        return (struct place){URL_HTTP, proxy->port, str_of(proxy->host), NULL};
    return (struct place){url->scheme, url->port, url->host, proxy};
}

static struct origin *origin_new(struct pool *pool, const struct place *place)
{
    struct origin *origin = MEM_NEW(struct origin);
    const char *reason;
    origin->pool = pool;
    origin->scheme = place->scheme;
    origin->port = place->port;
    origin->host_len = place->host.len;
    origin->host = mem_zeroed(place->host.len + 1);
    for (size_t i = 0; i < place->host.len; i++)
        origin->host[i] = place->scheme == URL_HTTP_UNIX
                              ? place->host.ptr[i]
                              : (char)tolower((unsigned char)place->host.ptr[i]);
    if (place->scheme == URL_HTTP_UNIX)
        origin->unix_path = decode_path(place->host);
    if (place->tunnel != NULL)
        origin->proxy = proxy_new(str_of(place->tunnel->text), &reason);
    link_init(&origin->idle);
    link_init(&origin->busy);
    link_init(&origin->queue);
    link_append(&pool->origins, &origin->link);
    return origin;
}

static void free_if_unused(struct origin *origin)
{
    if (origin->nconns != 0 || origin->nqueued != 0)
        return;
    link_remove(&origin->link);
    proxy_free(origin->proxy);
    free(origin->host);
    free(origin->unix_path);
    free(origin);
}

static bool is_same_proxy(const struct proxy *a, const struct proxy *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a->text, b->text) == 0;
}

static bool is_origin_of(const struct origin *origin, const struct place *place)
{
    struct str host = {origin->host, origin->host_len};
    if (origin->scheme != place->scheme || origin->port != place->port ||
        !is_same_proxy(origin->proxy, place->tunnel))
        return false;
    return str_equal(host, place->host) ||
           (place->scheme != URL_HTTP_UNIX && str_equal_nocase(host, place->host));
}

static struct origin *find_origin(struct pool *pool, const struct fetch *fetch)
{
    struct place place = place_of(fetch);
    for (struct link *at = pool->origins.next; at != &pool->origins; at = at->next) {
        struct origin *origin = LIST_ENTRY(at, struct origin, link);
        if (is_origin_of(origin, &place))
            return origin;
    }
    return origin_new(pool, &place);
}

/* ---- the queue as a carrier ---- */

static enum fetch_stage stage_queued(const struct fetch *fetch)
{
    (void)fetch;
    return FETCH_QUEUED;
}

static void leave_queue(struct origin *origin, struct fetch *fetch)
{
    link_remove(&fetch->link);
    timer_stop(fetch->loop, &fetch->queue_deadline);
    origin->nqueued--;
    fetch->carrier = NULL;
}

static void cancel_queued(struct fetch *fetch)
{
    struct origin *origin = fetch->carrier_data;
    leave_queue(origin, fetch);
    free_if_unused(origin);
}

static void do_nothing(struct fetch *fetch)
{
    (void)fetch;
}

static const struct fetch_carrier queue_carrier = {
    .stage = stage_queued,
    .go_on = do_nothing,
    .send = do_nothing,
    .cancel = cancel_queued,
};

static void on_queue_due(struct timer *timer)
{
    fetch_fail(LIST_ENTRY(timer, struct fetch, queue_deadline), FETCH_TIMEOUT,
               "no connection to this origin became free within queue_timeout");
}

static void enter_queue(struct origin *origin, struct fetch *fetch)
{
    uint64_t most_ms = origin->pool->options.queue_ms;
    if (most_ms != 0)
        timer_start(fetch->loop, &fetch->queue_deadline, most_ms, on_queue_due);
    fetch->carrier = &queue_carrier;
    fetch->carrier_data = origin;
    origin->nqueued++;
    link_append(&origin->queue, &fetch->link);
}

/* ---- who gets which connection ---- */

static bool can_serve(const struct origin *origin)
{
    return origin->nidle != 0 || origin->nconns < origin->pool->options.connections;
}

/* What can be read from an idle connection is its end, or something that nobody asked for. The loop
 * has read it already, up to its last look: a look of our own, which is a system call, is for
 * requests that cannot be sent again, and for when the last one was long ago. */
static bool is_usable(const struct client_conn *conn, const struct fetch *fetch)
{
    if (loop_now_ms(conn->origin->pool->loop) >= conn->expires_ms)
        return false;
    return (fetch->is_prompt && fetch->request->is_idempotent && fetch->body.ptr == NULL &&
            fetch->upload == NULL) ||
           stream_is_quiet(conn->stream);
}

static void serve(struct origin *origin, struct fetch *fetch)
{
    while (origin->nidle != 0) {
        struct client_conn *conn = LIST_ENTRY(origin->idle.next, struct client_conn, link);
        if (is_usable(conn, fetch)) {
            link_remove(&conn->link);
            link_append(&origin->busy, &conn->link);
            origin->nidle--;
            origin->pool->nreused++;
            client_conn_carry(conn, fetch);
            return;
        }
        origin->is_serving = true; /* it stays, and nobody is let past this one */
        client_conn_close(conn);
        origin->is_serving = false;
    }
    client_conn_dial(origin, fetch);
}

static void serve_queue(struct origin *origin)
{
    while (origin->nqueued != 0 && can_serve(origin)) {
        struct fetch *fetch = LIST_ENTRY(origin->queue.next, struct fetch, link);
        leave_queue(origin, fetch);
        serve(origin, fetch);
    }
}

void pool_submit(struct pool *pool, struct fetch *fetch)
{
    struct origin *origin = find_origin(pool, fetch);
    if (origin->nqueued == 0 && can_serve(origin)) {
        serve(origin, fetch);
    } else if (origin->nqueued >= pool->options.queue) {
        fetch->stage = FETCH_FAILED;
        fetch->failed_stage = FETCH_QUEUED;
        fetch->error = FETCH_FULL;
        snprintf(fetch->reason, sizeof(fetch->reason),
                 "too many requests to this origin wait already");
        timer_stop(fetch->loop, &fetch->deadline);
        deadline_stop(&fetch->coarse_deadline);
    } else {
        enter_queue(origin, fetch);
    }
}

void pool_submit_again(struct pool *pool, struct fetch *fetch)
{
    struct origin *origin = find_origin(pool, fetch);
    struct link *oldest = origin->idle.prev;
    if (origin->nconns < pool->options.connections || origin->nidle != 0) {
        client_conn_dial(origin, fetch); /* a new one: the other idle ones may be dead as well */
        if (origin->nconns > pool->options.connections)
            client_conn_close(LIST_ENTRY(oldest, struct client_conn, link));
        return;
    }
    enter_queue(origin, fetch);
    link_remove(&fetch->link);
    link_append(origin->queue.next, &fetch->link); /* goes first */
}

void pool_conn_free(struct client_conn *conn)
{
    struct origin *origin = conn->origin;
    link_remove(&conn->link);
    link_append(origin->idle.next, &conn->link); /* the last used first */
    conn->is_idle = true;
    origin->nidle++;
    struct pool *pool = origin->pool;
    struct deadline_queue *deadlines = conn->life_ms == pool->options.idle_ms
                                           ? pool->idle_deadlines
                                           : deadline_queue(pool->loop, conn->life_ms);
    conn->expires_ms = loop_now_ms(pool->loop) + conn->life_ms;
    deadline_start(deadlines, &conn->idle_deadline, conn->idle_deadline.on_due);
    serve_queue(origin);
}

bool pool_conn_set_life(struct client_conn *conn, struct keep_alive hints)
{
    uint64_t idle_ms = conn->origin->pool->options.idle_ms;
    conn->life_ms = idle_ms;
    if ((hints.has_max && hints.max == 0) || (hints.has_timeout && hints.timeout_s == 0))
        return false;
    if (!hints.has_timeout || hints.timeout_s - 1 >= idle_ms / 1000)
        return true;
    /* We let go first; and there are few lengths, because each has a list that stays. */
    uint64_t life_ms = 500;
    while (life_ms * 2 <= (hints.timeout_s - 1) * 1000)
        life_ms *= 2;
    conn->life_ms = life_ms < idle_ms ? life_ms : idle_ms;
    return true;
}

void pool_conn_gone(struct origin *origin)
{
    if (origin->is_serving)
        return;
    serve_queue(origin);
    free_if_unused(origin);
}

/* ---- exchanges kept for the next one ---- */

struct fetch *pool_take_spare(struct pool *pool)
{
    struct fetch *fetch = pool->spare_fetches;
    if (fetch == NULL)
        return NULL;
    pool->spare_fetches = fetch->carrier_data;
    pool->nspare_fetches--;
    fetch->carrier_data = NULL;
    return fetch;
}

void pool_give_spare(struct pool *pool, struct fetch *fetch)
{
    if (pool->nspare_fetches >= SPARE_FETCHES) {
        fetch_free_spare(fetch);
        return;
    }
    fetch->carrier_data = pool->spare_fetches;
    pool->spare_fetches = fetch;
    pool->nspare_fetches++;
}

/* ---- the end ---- */

static void close_origin(struct origin *origin)
{
    struct pool *pool = origin->pool;
    pool->options.connections = 0; /* nobody is served any more */
    while (origin->nqueued != 0) {
        struct fetch *fetch = LIST_ENTRY(origin->queue.next, struct fetch, link);
        bool is_last = origin->nqueued == 1 && origin->nconns == 0;
        fetch_orphan(fetch); /* through cancel_queued */
        if (is_last)
            return;
    }
    while (origin->nconns != 0) {
        bool is_last = origin->nconns == 1;
        struct link *first = link_is_alone(&origin->busy) ? origin->idle.next : origin->busy.next;
        struct client_conn *conn = LIST_ENTRY(first, struct client_conn, link);
        if (conn->fetch != NULL)
            fetch_orphan(conn->fetch);
        else
            client_conn_close(conn);
        if (is_last)
            return; /* with the last one the origin has gone */
    }
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    pool_cut_duplexes(pool);
    while (!link_is_alone(&pool->origins))
        close_origin(LIST_ENTRY(pool->origins.next, struct origin, link));
    tls_context_free(pool->tls);
    while (pool->nspare_fetches != 0)
        fetch_free_spare(pool_take_spare(pool));
    resolver_put(pool->resolver);
    free(pool);
}
