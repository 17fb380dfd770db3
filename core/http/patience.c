/*
 * How long a connection waits for its client, and for how little it goes on waiting.
 *
 * A client that sends a body has body_timeout to wait in, all waits together; each byte that comes
 * buys a part of it back, at min_body_rate. So a pause is forgiven and a trickle is not. A client
 * that takes an answer has to take min_send_rate over each send_timeout.
 */
#include "base/config.h"
#include "http/conn_parts.h"
#include "http/introduction.h"
#include "http/request.h"
#include "http/server_state.h"
#include "loop/loop.h"
#include "net/stream.h"

enum { EVICTION_LOOKS = 64, EVICTION_AGE_MS = 1000 };

static void on_deadline(struct deadline *deadline);

void conn_wait_for(struct conn *conn, enum conn_waits waits)
{
    if (conn->is_closing) /* a deadline would outlive it */
        return;
    conn->waits = waits;
    if (waits == CONN_WAITS_SEND) {
        conn->sent_mark_bytes = conn->sent_bytes;
        conn->unsent_mark_bytes = stream_unsent_bytes(conn->stream);
    } else if (waits == CONN_WAITS_BODY) {
        conn->request->waiting_since_ms = loop_now_ms(conn->server->loop);
    }
    struct deadline_queue *queue = conn->server->deadlines[waits];
    if (queue != NULL)
        deadline_start(queue, &conn->deadline, on_deadline);
    else
        deadline_stop(&conn->deadline); /* no limit */
}

bool conn_body_moves(struct conn *conn)
{
    const struct config *config = conn->server->config;
    struct request *request = conn->request;
    uint64_t rate = config->min_body_rate, paid_ms;
    if (conn->waits != CONN_WAITS_BODY || rate == 0 || config->body_timeout_ms == 0)
        return true;
    uint64_t now_ms = loop_now_ms(conn->server->loop);
    uint64_t waited_ms = request->waited_ms + (now_ms - request->waiting_since_ms);
    request->waiting_since_ms = now_ms;
    paid_ms = (request->body_seen - request->body_paid) * 1000 / rate;
    request->body_paid = request->body_seen;
    waited_ms -= paid_ms < waited_ms ? paid_ms : waited_ms;
    request->waited_ms = waited_ms < UINT32_MAX ? (uint32_t)waited_ms : UINT32_MAX;
    return waited_ms <= config->body_timeout_ms;
}

/* The kernel's buffers count: they take more at once than a slow client reads in a minute. */
static bool is_answer_moving(const struct conn *conn)
{
    const struct config *config = conn->server->config;
    uint64_t wanted = (uint64_t)config->min_send_rate * config->send_timeout_ms / 1000;
    uint64_t before = conn->unsent_mark_bytes + (conn->sent_bytes - conn->sent_mark_bytes);
    uint64_t now = stream_unsent_bytes(conn->stream);
    return before > now && before - now >= wanted;
}

void conn_linger_on(struct conn *conn)
{
    if (conn->waits == CONN_WAITS_END && !conn->server->is_draining &&
        loop_now_ms(conn->server->loop) < conn->linger_until_ms)
        conn_wait_for(conn, CONN_WAITS_END);
}

static void on_deadline(struct deadline *deadline)
{
    struct conn *conn = LIST_ENTRY(deadline, struct conn, deadline);
    switch (conn->waits) {
    case CONN_WAITS_HEAD:
        if (conn->request != NULL) {
            conn_refuse(conn, 408, str_of("the request head took too long"));
            conn_settle(conn);
        } else if (introduction_is_due(conn)) {
            introduction_timed_out(conn);
        } else {
            conn_close(conn);
        }
        return;
    case CONN_WAITS_BODY:
        if (!conn->is_with_handler) {
            conn_close(conn);
            return;
        }
        conn->is_last = true;
        conn->request->body_state = BODY_TIMED_OUT;
        conn_tell_body(conn);
        return;
    case CONN_WAITS_SEND:
        if (is_answer_moving(conn)) {
            conn_wait_for(conn, CONN_WAITS_SEND);
            return;
        }
        conn->is_lost = true;
        stream_reset(conn->stream);
        conn_close(conn);
        return;
    case CONN_WAITS_NOT:
    case CONN_WAITS_NEXT:
    case CONN_WAITS_END:
    case CONN_WAITS_DRAIN:
    case CONN_WAITS_COUNT:
        conn_close(conn);
    }
}

/* The connection that has waited longest for this; NULL when none is found soon, or all wait less
 * than `age_ms`. */
static struct conn *longest_waiting(struct http_server *server, enum conn_waits waits,
                                    uint32_t timeout_ms, uint32_t age_ms)
{
    struct deadline_queue *queue = server->deadlines[waits];
    struct deadline *deadline = NULL;
    for (int i = 0; i < EVICTION_LOOKS && queue != NULL; i++) {
        deadline = deadline_next(queue, deadline);
        if (deadline == NULL)
            break;
        if (deadline->due_ms - timeout_ms + age_ms > loop_now_ms(server->loop))
            break;
        struct conn *conn = LIST_ENTRY(deadline, struct conn, deadline);
        if (deadline->on_due == on_deadline && conn->waits == waits)
            return conn;
    }
    return NULL;
}

struct conn *conn_idlest(struct http_server *server)
{
    uint32_t header_ms = server->config->header_timeout_ms;
    struct conn *conn = longest_waiting(server, CONN_WAITS_HEAD, header_ms, EVICTION_AGE_MS);
    if (conn == NULL)
        conn = longest_waiting(server, CONN_WAITS_NEXT, server->config->keepalive_ms, 0);
    if (conn == NULL)
        conn = longest_waiting(server, CONN_WAITS_HEAD, header_ms, 0);
    return conn;
}

void conn_evict(struct conn *conn)
{
    if (conn->request != NULL)
        conn_refuse_for_now(conn, str_of("too many connections are open"));
    conn_close(conn);
}
