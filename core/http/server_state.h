/*
 * server_state.h - what the connections of one worker share. Private to this room.
 */
#pragma once

#include "base/buf.h"
#include "base/ip_address.h"
#include "base/list.h"
#include "http/conn.h"
#include "http/request.h"
#include "http/server.h"

#include <stdbool.h>
#include <stdint.h>

enum { SERVER_MAX_LISTENERS = 32, SERVER_SPARE_REQUESTS = 256 };

struct access_log;
struct address_table;
struct deadline_queue;
struct listener;
struct tls_context;

struct server_listener {
    struct http_server *server;
    struct listener *listener;
    uint8_t service; /* enum http_service, perhaps with HTTP_EXPECTS_PROXY */
};

struct http_server {
    struct loop *loop;
    const struct config *config;
    struct scoreboard_slot *slot; /* NULL outside a worker */
    const struct http_handler *handler;
    struct access_log *access_log; /* NULL: off */
    struct server_listener listeners[SERVER_MAX_LISTENERS];
    uint32_t nlisteners;
    struct tls_context *tls; /* NULL: nothing is served with it */
    uint16_t tls_port;       /* of the first listener with TLS; 0: none */
    char hsts[64];           /* a header line for answers over TLS; "": none */
    struct link conns;
    uint32_t nconns;
    uint32_t max_conns;              /* then accepting pauses */
    struct address_table *addresses; /* NULL: not counted */
    uint32_t seat;                   /* in it */
    uint64_t crowd_said_ms;          /* that an address has too many; 0: never */
    struct ip_networks proxies;      /* forwarded_allow_ips */
    uint64_t stranger_said_ms;       /* that a peer is none of them; 0: never */
    uint64_t bad_header_said_ms;     /* what is wrong with a PROXY header; 0: never */
    bool is_paused;                  /* all are busy */
    bool is_full_said;               /* logged, until there is a lot of room again */
    uint64_t short_said_ms;          /* that memory is out; 0: never */
    struct request *spare_requests[SERVER_SPARE_REQUESTS];
    uint32_t nspare_requests;
    struct conn *batching; /* whose read is on the stack; its answers are collected in `out` */
    struct buf out;        /* empty between two batches */
    struct buf side_out;   /* answers outside the batch; empty between two calls */
    struct deadline_queue *deadlines[CONN_WAITS_COUNT]; /* NULL: no limit */
    char good_host[64]; /* the last well-formed Host field: most requests bring the same one */
    uint8_t good_host_len;
    char next_id[REQUEST_ID_BYTES]; /* of the next request: hexadecimal digits */
    uint64_t requests;              /* answered */
    uint64_t errors;
    uint32_t in_flight;
    bool is_draining;
    bool is_freed;
    void (*on_idle)(void *data);
    void *on_idle_data;
};

struct request *server_get_request(struct http_server *server);
void server_put_request(struct http_server *server, struct request *request);
void server_conn_opened(struct http_server *server);
void server_conn_closed(struct http_server *server);
/* Once there is somebody who could make room for a client that waits. */
void server_resume_accepting(struct http_server *server);
/* Memory is out, and a request was turned away for that: logged now and then. */
void server_say_short(struct http_server *server);
/* Numbers and counts a request whose head is complete; the second takes the status it was answered
 * with, 0 when it was abandoned. */
void server_begin_request(struct http_server *server, struct request *request);
void server_end_request(struct http_server *server, const struct request *request, uint16_t status);
