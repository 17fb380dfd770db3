/*
 * listen_sockets.h - every socket that the server listens on, owned by the master.
 *
 * A TCP bind has one SO_REUSEPORT socket per worker slot, open for as long as the slot exists, so
 * the connections that a dead worker had not accepted wait for its successor. Unix sockets and
 * inherited descriptors are one socket that all slots share.
 */
#pragma once

#include "base/config.h"
#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>

struct handover;
struct listen_sockets;

/* Binds everything for `nslots` slots; port 0 becomes a number here. Sockets of the same binds are
 * taken out of the handover (NULL: none). NULL with the reason. */
struct listen_sockets *listen_sockets_open(const struct config *config, uint32_t nslots,
                                           struct handover *handover, struct fault *fault);
/* Puts them all there; they stay open here. */
void listen_sockets_hand_over(const struct listen_sockets *sockets, struct handover *handover);
/* Closes the descriptors of this process. */
void listen_sockets_close(struct listen_sockets *sockets);
/* Removes Unix sockets from the file system: when the server ends. */
void listen_sockets_unlink(struct listen_sockets *sockets);

/* Adds the sockets of the next slot. 0 or -errno with the reason. */
int listen_sockets_add_slot(struct listen_sockets *sockets, struct fault *fault);
/* Closes those of the last slot. */
void listen_sockets_drop_slot(struct listen_sockets *sockets);
/* New connections go to the first `nslots` slots only, although the others still listen: their
 * queues can run empty. Best effort (a kernel before 4.5 goes on spreading). */
void listen_sockets_steer(struct listen_sockets *sockets, uint32_t nslots);

uint32_t listen_sockets_nslots(const struct listen_sockets *sockets);
uint32_t listen_sockets_count(const struct listen_sockets *sockets); /* of one slot: one per bind */
const int *listen_sockets_of_slot(const struct listen_sockets *sockets, uint32_t slot);
/* enum http_service of each, in the same order. */
const uint8_t *listen_sockets_services(const struct listen_sockets *sockets);
/* In a forked worker: closes those of all other slots. */
void listen_sockets_keep_slot(struct listen_sockets *sockets, uint32_t slot);
/* "http://127.0.0.1:8080", "unix:/run/x.sock"; borrowed. */
const char *listen_sockets_url(const struct listen_sockets *sockets, uint32_t index);
/* Of a bind to every address (0.0.0.0, [::]): the URL that other machines use. Else NULL. */
const char *listen_sockets_reachable_url(const struct listen_sockets *sockets, uint32_t index);
