/*
 * worker.h - one worker process: a loop, its listeners, its generations, its pipe to the master.
 */
#pragma once

#include "base/config.h"
#include "shared/address_table.h"
#include "shared/mailbox.h"
#include "shared/scoreboard.h"
#include "shared/ticket_keys.h"

#include <stdint.h>

struct worker_boot {
    const struct config *config;
    struct scoreboard *board;        /* of the whole server */
    struct scoreboard_slot *slot;    /* this worker's own */
    struct mailbox *mailbox;         /* of the whole server; NULL: topics stay within a worker */
    struct address_table *addresses; /* of the whole server; NULL: not counted */
    uint32_t seat;                   /* of this worker in scoreboard, mailbox and addresses */
    uint32_t number;                 /* 1..N */
    const int *listen_fds;           /* this slot's own SO_REUSEPORT sockets, one per bind */
    uint32_t nlisten_fds;
    const uint8_t *listen_services; /* enum http_service of each */
    int tls_fd; /* a payload of tls_material.h, the worker closes it; -1: nothing is served with TLS
                 */
    struct ticket_keys *ticket_keys;
    int master_fd;       /* SOCK_SEQPACKET; its other end closes when the master is gone */
    int snapshot_fd;     /* the committed snapshot; the worker closes it */
    uint64_t generation; /* its number */
};

/* Exit code of a worker that could not build its first generation; it has told the master why. */
enum { WORKER_EXIT_BOOT = 3 };

/* Runs until the master says stop or is gone; returns the exit code. Never returns to master code.
 */
int worker_run(const struct worker_boot *boot);
