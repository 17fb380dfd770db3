/*
 * control.h - the control socket: one request of a few words, one answer.
 *
 * A SOCK_SEQPACKET Unix socket of mode 0600 that also checks who calls: the server's own user or
 * root. A request is one packet of words ("reload wait json"); the answer is one message of
 * protocol.h whose payload holds the text, so that a caller who does not read can never hold up the
 * master.
 */
#pragma once

#include "base/buf.h"
#include "base/config.h"
#include "base/fault.h"
#include "base/list.h"
#include "server/master_loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONTROL_MAX_WORDS = 8 };

struct control;
struct handover;

/* One caller, from connect to the answer. The fields below the line are for who answers. */
struct control_client {
    struct link link;
    struct control *control;
    struct master_watch watch;
    struct master_timer patience; /* until the request has come */

    bool is_json;
    uint64_t waits_for_attempt; /* of reload; 0: none */
    bool waits_for_listing;
    bool waits_for_restart;
    bool waits_for_upgrade; /* to be proved or refused */
    bool waits_for_end;     /* of the server: answered already, closed at the very end */
};

typedef void (*control_request_fn)(void *data, struct control_client *client,
                                   const char *const *words, size_t nwords);

/* Where the socket of a server with this config is: an absolute path, the caller's to free. */
char *control_path(const struct config *config);

/* Makes the directory and the socket, or takes over that of the handover (NULL: there is none).
 * When another server has it, a name with our process id is taken and the log says so. NULL with
 * the reason. */
struct control *control_open(struct master_loop *loop, const struct config *config,
                             struct handover *handover, control_request_fn on_request, void *data,
                             struct fault *fault);
/* NULL is fine. */
void control_hand_over(const struct control *control, struct handover *handover);
/* Callers who wait for the end shall see that of the process, not that of the socket: their
 * connections outlive control_close. */
void control_hold_until_exit(struct control *control);
/* Closes; callers who wait see the end. The file goes with control_unlink. */
void control_close(struct control *control);
void control_unlink(struct control *control);
/* Callers who have not been answered or wait for the end; NULL to begin and at the end. */
struct control_client *control_next(struct control *control, struct control_client *after);
/* Answers. The client is freed, unless it waits for the end. */
void control_answer(struct control_client *client, bool is_ok, struct str text);

/* The other side, for one-shot commands: sends the words, waits for the answer. 0: answered with
 * success, 1: answered with a refusal, -errno with the reason in `fault`. `wait_for_end`: also
 * waits until the server is gone. */
int control_call(const char *path, const char *words, bool wait_for_end, struct buf *answer,
                 struct fault *fault);
