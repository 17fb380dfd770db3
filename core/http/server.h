/*
 * server.h - the HTTP side of one worker: its listeners, its connections, what they share.
 */
#pragma once

#include "base/config.h"
#include "http/request.h"
#include "shared/scoreboard.h"

#include <stdint.h>

struct address_table;
struct http_server;
struct loop;
struct tls_context;

/* All borrowed; `slot` may be NULL. */
struct http_server *http_server_new(struct loop *loop, const struct config *config,
                                    struct scoreboard_slot *slot,
                                    const struct http_handler *handler);
enum http_service {
    HTTP_SERVES_PLAIN,
    HTTP_SERVES_TLS,
    HTTP_REDIRECTS,          /* everybody to the first listener with TLS */
    HTTP_EXPECTS_PROXY = 16, /* beside one of these: connections begin with a PROXY header */
};

/* For connections from now on; those that exist keep what they have. Takes the context over. */
void http_server_use_tls(struct http_server *server, struct tls_context *tls);
/* Before it listens: the table in which the server's workers count their clients' addresses, and
 * this one's seat in it. Borrowed. Without it there is no limit_connections_per_ip. */
void http_server_use_addresses(struct http_server *server, struct address_table *addresses,
                               uint32_t seat);
/* Borrows the listening descriptor. `service`: enum http_service, perhaps with HTTP_EXPECTS_PROXY.
 * 0 or -errno. */
int http_server_listen(struct http_server *server, int fd, uint8_t service);
/* Accepts what is queued, stops listening, closes connections that stay idle, tells the others to
 * close after their answer. on_idle(data) is called once, when the last connection is gone. */
void http_server_drain(struct http_server *server, void (*on_idle)(void *data), void *data);
/* Cuts every connection. Frees once they are gone; the loop has to turn for that. */
void http_server_free(struct http_server *server);
/* Opens the access log anew, for rotation. */
void http_server_reopen_log(struct http_server *server);
uint32_t http_server_connections(const struct http_server *server);
const struct config *http_server_config(const struct http_server *server);
