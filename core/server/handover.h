/*
 * handover.h - what a master leaves to the program that it becomes when it executes its binary anew
 * (SIGUSR2): its listening sockets, that of the control socket, its workers, the memory of their
 * topics, and where the shared dictionary lies.
 *
 * The process stays the same, so its children stay its children and its descriptors can stay open.
 * Their numbers travel as lines of text in a memfd; the environment says which.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { HANDOVER_MARK_BYTES = 128 };

enum { HANDOVER_SHARED = -1 }; /* the slot of a socket that all slots share */

struct handover_socket {
    int slot;
    int fd;
    char *bind; /* its label */
};

struct handover_worker {
    uint32_t slot;
    pid_t pid;
    int fd; /* the master's end of its pair; see protocol.h */
    uint64_t started_ms;
    bool is_draining; /* it has been told to leave */
    int seat;         /* in the mailbox and the like; -1: not told */
};

struct handover {
    uint64_t started_ms; /* of the server, CLOCK_MONOTONIC */
    uint64_t generation; /* the last number that was given to one */
    uint32_t configured; /* workers, by the configuration; and as many as there shall be */
    uint32_t wanted;
    char *binary;       /* the path that an upgrade looks at; NULL: not told */
    char *shared_path;  /* a directory that the master made; NULL: none */
    char *control_path; /* NULL: there is no control socket */
    int control_fd;     /* callers who come meanwhile wait in its queue; -1: none, or taken over */
    int mailbox_fd;     /* -1: there is none that can be handed over, or it was taken over */
    uint32_t failures;  /* of programs to start from this, in a row */
    int cause;          /* of the last: see retreat.h; 0: it could not start, and said why */
    struct buf sockets; /* of struct handover_socket; see below */
    struct buf workers; /* of struct handover_worker */
};

/* What the environment says of it. */
struct handover_mark {
    int text_fd;   /* -1: there is nothing */
    int former_fd; /* the program before, -1: not told; retreat.h closes it */
    int failures;
    int cause;
};

/* False: there is none, or it is another process's. */
bool handover_read_mark(struct handover_mark *mark);
/* As an entry of the environment. Async-signal-safe. */
void handover_mark_text(const struct handover_mark *mark, char text[HANDOVER_MARK_BYTES]);
bool handover_is_mark(const char *entry);

/* An empty one. */
struct handover *handover_new(void);
/* What our predecessor left, once: NULL when there was none. False with the reason when there was
 * one and it cannot be read. The descriptors are copies, the caller's; the others stay open, for
 * handover_return, until handover_settle. */
bool handover_take(struct handover **handover, struct fault *fault);
/* The server goes on as this program: there is no way back. */
void handover_settle(void);
/* Whether there is one. */
bool handover_can_return(void);
/* In a program that was left something and cannot start from it: executes the program before it,
 * with the same; when that cannot start either, it again, after a second. Returns when there is
 * nothing to give back, or nobody, or when the server is to stop. `argv` is the server's own. */
void handover_return(char **argv);
/* For a second, before another try. True: the server is to stop, which was asked for before or
 * meanwhile. */
bool handover_wait_for_stop(void);
/* Descriptors that nobody has taken over are closed; -1 marks those that somebody has. NULL is
 * fine. */
void handover_free(struct handover *handover);
/* Frees it alone: the descriptors stay open. */
void handover_forget(struct handover *handover);

/* What a socket is handed over under, on the heap; back from it comes the text of the option,
 * within the label. */
char *handover_label(const char *bind_text, bool is_redirect);
const char *handover_bind_text(const char *label, bool *is_redirect);
void handover_add_socket(struct handover *handover, int slot, int fd, const char *bind);
void handover_add_worker(struct handover *handover, const struct handover_worker *worker);
struct handover_socket *handover_socket(const struct handover *handover, uint32_t index);
uint32_t handover_nsockets(const struct handover *handover);
struct handover_worker *handover_worker(const struct handover *handover, uint32_t index);
uint32_t handover_nworkers(const struct handover *handover);

/* Appends it as text. */
void handover_write(const struct handover *handover, struct buf *text);
/* The descriptors, nfds at most; how many. */
size_t handover_fds(const struct handover *handover, int *fds);
size_t handover_nfds(const struct handover *handover);

/* Makes the descriptors and the text outlive an exec, and names the text in the environment.
 * `former_fd`: this program, for one that cannot start. 0 or -errno. */
int handover_leave(const struct handover *handover, int former_fd);
/* The exec has failed: back to before. The descriptors stay open. */
void handover_withdraw(const struct handover *handover);
