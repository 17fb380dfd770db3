/*
 * generation.h - an immutable snapshot of all apps, made to run: one VM, one router, the handlers.
 *
 * Lives on a worker's loop thread. Built beside the current one (prove, prepare), then either
 * committed (a pointer is flipped; new requests take it) or freed. A replaced generation goes on
 * until its last request has ended, then frees itself.
 */
#pragma once

#include "base/buf.h"
#include "base/config.h"
#include "base/fault.h"
#include "base/snapshot.h"
#include "shared/scoreboard.h"

#include <stdbool.h>
#include <stdint.h>

struct http_handler;
struct loop;
struct topics;
struct generation;
struct generations; /* one per worker: the current one, those that drain, and what they share */

/* How loading one app went. Texts are owned by the generation. */
struct app_report {
    struct str name; /* "hello" for hello.lua; "index" */
    bool is_ok;
    struct str error; /* "apps/hello.lua:3: '=' expected near 'x'", then the traceback */
};

/* One line of `moonloop routes`. */
struct route_info {
    struct str method;  /* "GET"; "*" for any */
    struct str pattern; /* "/shop/{id:int}" with the mount prefix, after the host if it has one */
    struct str app;
    struct str source; /* "apps/shop.lua:12" of the handler */
};

/* `slot` may be NULL (one-shot commands). All three are borrowed. */
struct generations *generations_new(struct loop *loop, const struct config *config,
                                    struct scoreboard_slot *slot);
/* Messages go through these topics from now on; borrowed. */
void generations_use_topics(struct generations *all, struct topics *topics);
/* Cancels whatever still runs. */
void generations_free(struct generations *all);

/* Loads every app of the snapshot. Takes the snapshot over, also on failure. An app that fails is
 * reported and mounted as an error page; NULL only when nothing could be built at all. */
struct generation *generation_build(struct generations *all, uint64_t number,
                                    struct snapshot *snapshot, struct fault *fault);
size_t generation_napps(const struct generation *generation);
struct app_report generation_app(const struct generation *generation, size_t index);
size_t generation_nroutes(const struct generation *generation);
struct route_info generation_route(const struct generation *generation, size_t index);
/* Files outside the apps directory that apps required, NUL-terminated absolute paths, then NULL. */
const char *const *generation_files(const struct generation *generation);
/* Absolute time (seconds of CPU) is spent here, not in build: starts hooks, flips the pointer. */
void generation_commit(struct generations *all, struct generation *generation);
void generation_free(struct generation *generation); /* one that was never committed */

/* What http_server_new takes; borrowed. */
const struct http_handler *generations_handler(const struct generations *all);
uint32_t generations_alive(const struct generations *all);
uint32_t generations_tasks(const struct generations *all);     /* alive, in all generations */
uint64_t generations_lua_bytes(const struct generations *all); /* in use in the current VM */
/* The worker is leaving: the timers of the apps stand still, WebSockets and event streams are told.
 * Requests go on. `is_restart`: another worker serves instead. */
void generations_quiesce(struct generations *all, bool is_restart);
/* What is under way in all generations, for `moonloop ps`: JSON objects, separated by commas. */
void generations_list(struct generations *all, struct buf *out);
/* Calls on_idle(data) once no request, task or background work is left. */
void generations_drain(struct generations *all, void (*on_idle)(void *data), void *data);
