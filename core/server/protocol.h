/*
 * protocol.h - what master and worker say to each other over one SOCK_SEQPACKET pair per worker.
 *
 *   worker starts    -> builds the committed generation -> PREPARED(number, report)
 *   master           -> COMMIT(number): switch to it; the first one also starts to accept
 *   new code         -> PREPARE(number, snapshot) ... PREPARED(number, report) ... COMMIT or ABORT
 *   worker is old    -> RECYCLE: asks for a successor; the master answers DRAIN once that serves
 *   what is under way? -> LIST; the worker answers LISTED
 *   worker was told to go by a signal -> LEAVING, drains
 *   either end closes: the other side is gone; a worker then drains and exits
 *
 * Messages have a fixed size. What can be long (a snapshot, a report) travels as a descriptor
 * (base/payload.h).
 */
#pragma once

#include <stdint.h>

enum note_type {
    NOTE_PREPARE = 1, /* master: build this generation beside the current one; fd: its snapshot */
    NOTE_COMMIT,      /* master */
    NOTE_ABORT,       /* master: forget what was prepared */
    NOTE_DRAIN,  /* master: stop accepting, finish what runs, exit; number: 1: others serve on */
    NOTE_RETIRE, /* master: the same for good: first accept what still queues on the sockets */
    NOTE_REOPEN_LOGS,  /* master */
    NOTE_CERTIFICATES, /* master: serve TLS with these from now on; fd: tls_material.h */
    NOTE_LIST,         /* master: what is under way? */
    NOTE_PREPARED,     /* worker; fd: a report (report.h) */
    NOTE_LISTED,       /* worker; fd: JSON objects, separated by commas */
    NOTE_LEAVING,      /* worker */
    NOTE_RECYCLE,      /* worker; detail: enum recycle_reason */
};

enum recycle_reason { RECYCLE_REQUESTS = 1, RECYCLE_MEMORY, RECYCLE_HELPER, RECYCLE_SHORTAGE };

struct note {
    uint32_t type; /* enum note_type */
    uint32_t detail;
    uint64_t number; /* of a generation, where nothing else is said */
    int fd;          /* -1: none */
};

/* 0 or -errno (-EAGAIN: the other side does not read). note->fd stays the caller's. */
int note_send(int socket_fd, const struct note *note);
/* 1: a message, whose fd is now the caller's; 0: the other side is gone; -EAGAIN: nothing yet. */
int note_receive(int socket_fd, struct note *note);
