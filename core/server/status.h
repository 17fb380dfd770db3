/*
 * status.h - what the master knows, as text for people or as one line of JSON.
 */
#pragma once

#include "base/buf.h"
#include "base/config.h"
#include "server/listen_sockets.h"
#include "server/reload.h"
#include "server/slots.h"

#include <stdbool.h>
#include <stdint.h>

struct certificate_list;

struct status_source {
    const struct config *config;
    const struct listen_sockets *sockets;
    struct slots *slots;
    const struct reload *reload;
    uint64_t started_ms;
    const struct certificate_list *certificates; /* NULL: no TLS */
};

/* `moonloop status`: the server, its workers, what is wrong with the code on disk. */
void status_write(const struct status_source *source, bool is_json, struct buf *out);
/* `moonloop ps`, after listing.h has asked: JSON, of which lua/moonloop/cli/ps.lua makes a table.
 */
void status_write_ps(const struct status_source *source, struct buf *out);
/* `moonloop routes --running`. */
void status_write_routes(const struct report *report, bool is_json, struct buf *out);
