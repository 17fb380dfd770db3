/*
 * child.h - one worker process as the master sees it, from fork to wait.
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "server/master_loop.h"
#include "shared/scoreboard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct slots;

enum child_state {
    CHILD_BOOTING, /* builds its first generation; does not accept yet */
    CHILD_SERVING,
    CHILD_DRAINING, /* accepts no more; leaves when its requests have ended */
    CHILD_FORMER,   /* of the program that the master was before: serves until it has a successor */
};

struct child {
    struct link link; /* in the list of its slots */
    struct slots *slots;
    struct master_watch watch; /* its end of the SOCK_SEQPACKET pair */
    struct master_timer kill;  /* runs while draining: then it is killed */
    struct scoreboard_slot *seat;
    uint32_t seat_number;
    pid_t pid;
    uint32_t slot;
    enum child_state state;
    uint64_t started_ms;
    uint64_t prepared;  /* the generation it built last; 0: none */
    uint64_t committed; /* the generation it serves; 0: none */
    struct buf listed;  /* what it told last; see listing.h */
    bool is_asked;      /* what is under way, and has not told yet */
    bool has_told;
    bool is_recycling; /* wants a successor */
    bool keeps_seat;   /* takes part in topics, in its seat of the mailbox */
    bool is_former;    /* its seat says nothing: it writes another scoreboard */
    bool is_doomed;    /* killed by us, and the log has said why */
};

/* What it was doing, for the log: fields that borrow from the struct. */
struct child_facts {
    char routes[512];
    char memory[32];            /* a second ago at most */
    struct log_field fields[3]; /* room for one more */
    size_t count;               /* 0: its seat says nothing */
};

/* Its number for people: "worker 2". */
uint32_t child_number(const struct child *child);
/* Sends a message without a descriptor (fd -1). A worker that does not even read is killed. */
void child_tell(struct child *child, uint32_t type, uint64_t number, int fd);
/* SIGKILL; `why` goes to the log with the routes that were running. */
void child_kill(struct child *child, const char *why);
void child_look(const struct child *child, struct child_facts *facts);
const char *child_state_name(const struct child *child);
