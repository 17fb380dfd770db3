/*
 * master_state.h - what master.c (life, signals) and requests.c (the control socket) share.
 */
#pragma once

#include "server/background.h"
#include "server/certificates.h"
#include "server/control.h"
#include "server/listen_sockets.h"
#include "server/listing.h"
#include "server/master.h"
#include "server/master_loop.h"
#include "server/notify.h"
#include "server/privileges.h"
#include "server/reload.h"
#include "server/slots.h"
#include "server/upgrade.h"
#include "server/watch.h"
#include "shared/address_table.h"
#include "shared/mailbox.h"
#include "shared/scoreboard.h"

struct master {
    struct config *config;
    struct config_source source;
    struct master_loop *loop;
    struct master_watch signals;
    struct master_timer force;
    struct master_timer probation; /* of a program that has just taken over: see retreat.h */
    struct background *background;
    struct privileges privileges;
    struct scoreboard *board;
    struct mailbox *mailbox;
    struct address_table *addresses;
    struct listen_sockets *sockets;
    struct slots *slots;
    struct listing *listing;
    struct reload *reload;
    struct certificates *certificates;
    struct watch *watch;
    struct control *control;
    struct notify *notify;
    struct upgrade *upgrade;
    struct handover *handover; /* from the program that this process was before; while it boots */
    uint32_t former_workers;   /* that its configuration asked for */
    bool has_returned;         /* that one was to be the last, but the next could not start */
    bool is_succeeding;        /* not all of its workers have a successor that serves */
    uint64_t started_ms;
    int start_dir; /* relative paths of the command line start there */
    bool is_announced;
    bool is_stopping;
    int exit_code;
    char *problem; /* why it could not start */
};

/* master.c */
void master_stop(struct master *master);
/* Has the service manager know that all is as it should be. */
void master_tell_ready(struct master *master);
/* As the configuration says. */
void master_set_watching(struct master *master);

/* succession.c: what a handover brings into a master that starts, and SIGUSR2. */
void succession_use_binds(const struct handover *handover, struct config *config);
/* The mailbox that the former workers go on with; NULL: there is none, or none of our kind. */
struct mailbox *succession_take_mailbox(struct handover *handover, uint32_t nseats);
void succession_begin(struct master *master);
/* False with the reason, which has been logged, when it cannot begin; how one that has begun goes
 * out is told to requests_upgrade_done. */
bool succession_start(struct master *master, struct fault *fault);
/* It runs: what was left is taken over, and from now on kept up to date for a retreat. */
void succession_settle(struct master *master);
/* Every slot has a worker of ours. */
void succession_end(struct master *master);

/* reconfigure.c: false with the reason when the new configuration cannot be used: then nothing has
 * changed. */
bool master_reload_config(struct master *master, struct fault *fault);
/* For what reads relative paths of the command line: returns what leave takes, which is where we
 * were. */
int master_enter_start_dir(const struct master *master);
void master_leave_start_dir(int here);

/* requests.c: for control_open and reload_on_done, with the master as data. */
void requests_answer(void *data, struct control_client *client, const char *const *words,
                     size_t nwords);
void requests_reload_done(void *data, enum reload_outcome outcome, const char *reason);
void requests_upgrade_done(void *data, bool is_proved, const char *text);
/* Tells who waits for a rolling restart, once it is over. */
void requests_look_at_restart(struct master *master);
/* A worker of it could not boot: says so in the log and to them. */
void requests_roll_failed(struct master *master, const struct child *child, const char *why);
/* The server stops: tells who waits for a reload, a restart or an upgrade that it will not be. */
void requests_give_up(struct master *master);
/* For listing_new. */
void requests_listing_done(void *data);
