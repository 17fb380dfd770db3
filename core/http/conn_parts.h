/*
 * conn_parts.h - what conn.c (life, answers), intake.c (bytes to requests), patience.c (deadlines)
 * and upgrade.c (out of HTTP) need of each other. Private to these.
 */
#pragma once

#include "http/conn.h"

/* Of patience.c: arms the deadline of what is waited for now. */
void conn_wait_for(struct conn *conn, enum conn_waits waits);
/* Some of a body has come that was waited for: whether it comes fast enough. */
bool conn_body_moves(struct conn *conn);
/* A lingering client still sends: it has more time to find the answer, but not for ever. */
void conn_linger_on(struct conn *conn);

/* Of conn.c: what is due when a batch is over and the connection goes on. */
void conn_settle(struct conn *conn);
void conn_finish(struct conn *conn);
/* Sends what is in conn_out and `body`, in a batch too. */
void conn_send(struct conn *conn, struct str body);
/* Who is connected is known: begins to serve them, or ends it when they have too many connections.
 */
void conn_admit(struct conn *conn);
/* The stream is its own from now on. */
void conn_use_stream(struct conn *conn);
/* The stream is gone: frees it. */
void conn_closed(struct conn *conn);
void conn_release_request(struct conn *conn);

/* Of intake.c: parses `bytes`, hands on what became complete, keeps the rest. */
void conn_consume(struct conn *conn, char *bytes, size_t len);
bool conn_can_consume(struct conn *conn);
void conn_keep_rest(struct conn *conn, const char *bytes, size_t len);
/* Answers in plain text what reaches no handler, and ends the connection. Of `text` a line is made;
 * `fields` are more lines of the head. */
void conn_answer_last(struct conn *conn, uint16_t status, struct str text, struct str fields);
void conn_refuse(struct conn *conn, uint16_t status, struct str reason);
/* 503 with Retry-After. */
void conn_refuse_for_now(struct conn *conn, struct str reason);
/* Answers before anything was read, and ends it: 503 is for now. */
void conn_turn_away(struct conn *conn, uint16_t status, struct str reason);
/* Of misplaced.c: answers a request that came where it is not served. */
void conn_point_to_tls(struct conn *conn);
/* Something about the body has changed: the handler hears of it if it asked to. */
void conn_tell_body(struct conn *conn);
/* For the parser. */
bool conn_on_body(void *owner, char *bytes, size_t len);
bool conn_on_chunk(void *owner, uint64_t size);
