/*
 * Connections come and go here; what they do is conn.c. Accepting pauses at max_connections, so
 * that further clients wait in the kernel's queue instead of being refused.
 */
#include "http/server.h"

#include "base/log.h"
#include "base/mem.h"
#include "http/access_log.h"
#include "http/conn.h"
#include "http/server_state.h"
#include "loop/deadline.h"
#include "loop/loop.h"
#include "net/listener.h"
#include "net/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SPARE_DESCRIPTORS = 64,
    BODY_KEPT_BYTES = 16 * 1024,
    STATUS_CLIENT_LEFT = 499,
    SHORT_SAID_AGAIN_MS = 60000,
};

enum { ID_PREFIX_BYTES = 8 };

static const char hex[] = "0123456789abcdef";

/* Random digits for this server, then a number. */
static void make_first_id(struct http_server *server)
{
    uint32_t random = (uint32_t)getpid() * 2654435761u;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        random ^= (uint32_t)(uintptr_t)server;
    memset(server->next_id, '0', REQUEST_ID_BYTES);
    for (int i = 0; i < ID_PREFIX_BYTES; i++)
        server->next_id[i] = hex[(random >> (i * 4)) & 15];
}

/* In place: mostly the last digit alone changes. */
static void count_id_up(char id[REQUEST_ID_BYTES])
{
    for (int i = REQUEST_ID_BYTES - 1; i >= ID_PREFIX_BYTES; i--) {
        if (id[i] != 'f') {
            id[i] = id[i] == '9' ? 'a' : (char)(id[i] + 1);
            return;
        }
        id[i] = '0';
    }
}

/* Leaves descriptors for logs, clients and files, so that a full house still answers. */
static uint32_t max_connections(const struct config *config)
{
    struct rlimit limit;
    uint32_t max = config->max_connections != 0 ? config->max_connections : UINT32_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return max;
    uint64_t room = limit.rlim_cur > 2ull * SPARE_DESCRIPTORS ? limit.rlim_cur - SPARE_DESCRIPTORS
                                                              : limit.rlim_cur / 2;
    return room < max ? (uint32_t)room : max;
}

/* NULL for 0: no limit. */
static struct deadline_queue *queue_of(struct loop *loop, uint32_t duration_ms)
{
    return duration_ms != 0 ? deadline_queue(loop, duration_ms) : NULL;
}

struct http_server *http_server_new(struct loop *loop, const struct config *config,
                                    struct scoreboard_slot *slot,
                                    const struct http_handler *handler)
{
    struct http_server *server = MEM_NEW(struct http_server);
    server->loop = loop;
    server->config = config;
    server->slot = slot;
    server->handler = handler;
    server->max_conns = max_connections(config);
    link_init(&server->conns);
    ip_networks_read(&server->proxies, config->forwarded_allow_ips);
    server->deadlines[CONN_WAITS_HEAD] = queue_of(loop, config->header_timeout_ms);
    server->deadlines[CONN_WAITS_BODY] = queue_of(loop, config->body_timeout_ms);
    server->deadlines[CONN_WAITS_NEXT] = queue_of(loop, config->keepalive_ms);
    server->deadlines[CONN_WAITS_SEND] = queue_of(loop, config->send_timeout_ms);
    server->deadlines[CONN_WAITS_END] = queue_of(loop, CONN_LINGER_MS);
    server->deadlines[CONN_WAITS_DRAIN] = queue_of(loop, CONN_DRAIN_MS);
    server->access_log = access_log_open(loop, config);
    make_first_id(server);
    if (config->hsts_s != 0) /* RFC 6797 */
        snprintf(server->hsts, sizeof(server->hsts), "Strict-Transport-Security: max-age=%u\r\n",
                 config->hsts_s);
    return server;
}

void http_server_use_addresses(struct http_server *server, struct address_table *addresses,
                               uint32_t seat)
{
    server->addresses = addresses;
    server->seat = seat;
}

static void say_full(struct http_server *server, const char *what)
{
    if (!server->is_full_said)
        log_warn("%u connections are open, which is the limit; %s (max_connections, ulimit -n)",
                 server->max_conns, what);
    server->is_full_said = true;
}

void server_say_short(struct http_server *server)
{
    uint64_t now_ms = loop_now_ms(server->loop);
    if (server->short_said_ms != 0 && now_ms - server->short_said_ms < SHORT_SAID_AGAIN_MS)
        return;
    server->short_said_ms = now_ms;
    log_error("memory is out; new requests are answered 503 until there is some again (said once "
              "a minute)");
}

static void pause_accepting(struct http_server *server)
{
    server->is_paused = true;
    for (uint32_t i = 0; i < server->nlisteners; i++)
        listener_pause(server->listeners[i].listener);
}

/* A client beyond the limit takes the place of the one that has waited longest for its own client.
 * When all are busy, it waits in the kernel's queue. */
static bool may_accept(void *owner)
{
    struct http_server *server = ((struct server_listener *)owner)->server;
    if (server->nconns < server->max_conns)
        return true;
    struct conn *idlest = conn_idlest(server);
    if (idlest == NULL) {
        say_full(server, "further clients wait until some close");
        pause_accepting(server);
        return false;
    }
    say_full(server, "the longest idle one is closed for each new one");
    conn_evict(idlest);
    return true;
}

static void on_accept(void *owner, int fd)
{
    struct server_listener *listener = owner;
    conn_open(listener->server, fd, listener->service);
}

static const struct listener_events listener_events = {
    .may_accept = may_accept,
    .on_accept = on_accept,
};

void http_server_use_tls(struct http_server *server, struct tls_context *tls)
{
    tls_context_free(server->tls);
    server->tls = tls;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return address.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&address)->sin_port) : 0;
}

int http_server_listen(struct http_server *server, int fd, uint8_t service)
{
    if (server->nlisteners == SERVER_MAX_LISTENERS)
        return -ENOSPC;
    struct server_listener *place = &server->listeners[server->nlisteners++];
    *place = (struct server_listener){.server = server, .service = service};
    place->listener = listener_open(server->loop, fd, &listener_events, place);
    if ((service & ~HTTP_EXPECTS_PROXY) == HTTP_SERVES_TLS && server->tls_port == 0)
        server->tls_port = port_of(fd);
    return 0;
}

static void for_each_conn(struct http_server *server, void (*visit)(struct conn *conn))
{
    struct link *next;
    for (struct link *at = server->conns.next; at != &server->conns; at = next) {
        next = at->next;
        visit(LIST_ENTRY(at, struct conn, link));
    }
}

static void free_request(struct request *request)
{
    arena_deinit(&request->arena);
    buf_deinit(&request->body_buf);
    message_deinit(&request->message);
    free(request);
}

static void finish_if_empty(struct http_server *server)
{
    if (server->nconns != 0)
        return;
    if (server->is_draining && server->on_idle != NULL) {
        void (*on_idle)(void *data) = server->on_idle;
        server->on_idle = NULL;
        on_idle(server->on_idle_data);
    }
    if (!server->is_freed)
        return;
    for (uint32_t i = 0; i < server->nspare_requests; i++)
        free_request(server->spare_requests[i]);
    access_log_close(server->access_log);
    tls_context_free(server->tls);
    ip_networks_deinit(&server->proxies);
    buf_deinit(&server->out);
    buf_deinit(&server->side_out);
    free(server);
}

void http_server_drain(struct http_server *server, void (*on_idle)(void *data), void *data)
{
    if (server->is_draining)
        return;
    server->is_draining = true;
    for (uint32_t i = 0; i < server->nlisteners; i++) {
        listener_accept_queued(server->listeners[i].listener);
        listener_close(server->listeners[i].listener);
    }
    server->nlisteners = 0;
    server->on_idle = on_idle;
    server->on_idle_data = data;
    for_each_conn(server, conn_drain);
    finish_if_empty(server);
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    server->is_freed = true;
    for (uint32_t i = 0; i < server->nlisteners; i++)
        listener_close(server->listeners[i].listener);
    server->nlisteners = 0;
    for_each_conn(server, conn_close);
    finish_if_empty(server);
}

void http_server_reopen_log(struct http_server *server)
{
    access_log_reopen(server->access_log);
}

uint32_t http_server_connections(const struct http_server *server)
{
    return server->nconns;
}

struct loop *http_server_loop(const struct http_server *server)
{
    return server->loop;
}

const struct config *http_server_config(const struct http_server *server)
{
    return server->config;
}

static void show_connections(struct http_server *server)
{
    if (server->slot != NULL)
        atomic_store_explicit(&server->slot->connections, server->nconns, memory_order_relaxed);
}

void server_resume_accepting(struct http_server *server)
{
    server->is_paused = false;
    for (uint32_t i = 0; i < server->nlisteners; i++)
        listener_resume(server->listeners[i].listener);
}

void server_conn_opened(struct http_server *server)
{
    server->nconns++;
    show_connections(server);
    for (uint32_t i = 0; server->nconns >= server->max_conns && i < server->nlisteners; i++)
        listener_yield(server->listeners[i].listener);
}

void server_conn_closed(struct http_server *server)
{
    server->nconns--;
    show_connections(server);
    if (server->is_paused && server->nconns < server->max_conns)
        server_resume_accepting(server);
    for (uint32_t i = 0; i < server->nlisteners; i++)
        listener_retry(server->listeners[i].listener);
    if (server->nconns <=
        server->max_conns / 2) /* not each time it goes up and down at the limit */
        server->is_full_said = false;
    finish_if_empty(server);
}

struct request *server_get_request(struct http_server *server)
{
    struct request *request = server->nspare_requests != 0
                                  ? server->spare_requests[--server->nspare_requests]
                                  : MEM_NEW(struct request);
    message_reset(&request->message);
    request->message.max_headers = server->config->limit_request_fields;
    request->body_limit = server->config->max_body;
    return request;
}

void server_put_request(struct http_server *server, struct request *request)
{
    enum { CLEARED_FROM = offsetof(struct request, base) };
    if (server->nspare_requests == SERVER_SPARE_REQUESTS) {
        free_request(request);
        return;
    }
    arena_reset(&request->arena);
    request->body_buf.len = 0;
    if (request->body_buf.cap > BODY_KEPT_BYTES)
        buf_deinit(&request->body_buf);
    memset((char *)request + CLEARED_FROM, 0, sizeof(*request) - CLEARED_FROM);
    server->spare_requests[server->nspare_requests++] = request;
}

void server_begin_request(struct http_server *server, struct request *request)
{
    memcpy(request->id, server->next_id, REQUEST_ID_BYTES);
    count_id_up(server->next_id);
    server->in_flight++;
    if (server->access_log != NULL)
        request->began_us = access_log_now_us();
    if (server->slot != NULL)
        atomic_store_explicit(&server->slot->in_flight, server->in_flight, memory_order_relaxed);
}

void server_end_request(struct http_server *server, const struct request *request, uint16_t status)
{
    struct scoreboard_slot *slot = server->slot;
    if (server->access_log != NULL) {
        uint16_t shown = status != 0 ? status : request->status; /* of an answer that was cut */
        access_log_add(server->access_log, request, shown != 0 ? shown : STATUS_CLIENT_LEFT);
    }
    server->in_flight--;
    server->requests++;
    server->errors += status >= 500;
    if (slot == NULL)
        return;
    atomic_store_explicit(&slot->in_flight, server->in_flight, memory_order_relaxed);
    atomic_store_explicit(&slot->requests, server->requests, memory_order_relaxed);
    atomic_store_explicit(&slot->errors, server->errors, memory_order_relaxed);
}
