/*
 * pool.h - a client's connections, kept per origin and shared by all exchanges of a VM.
 *
 * An exchange takes an idle connection, else a new one, else (at the limit) its place in a queue
 * that is served first come first served.
 */
#pragma once

#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>

struct fetch;
struct loop;
struct pool;

struct pool_options {
    uint32_t connections; /* per origin, at least 1 */
    uint32_t queue;       /* exchanges of an origin that may wait for a connection */
    uint64_t queue_ms;    /* how long one may wait there; 0: as long as its own deadline lets it */
    uint64_t idle_ms;     /* how long an unused connection is kept */
    bool verify;          /* of TLS: the certificate and whose it is */
    /* PEM files, borrowed during pool_new. NULL: the system's authorities; no certificate of ours;
     * the key is in cert_file. */
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    /* "ADDRESS[:PORT], ..."; NULL: the machine's; borrowed during pool_new */
    const char *nameservers;
    /* NULL: by network. Gives a connected descriptor for each connection, or -errno. */
    int (*open_socket)(void *data);
    void *open_data;
};

/* NULL with the reason, which can only be about the three files or nameservers. */
struct pool *pool_new(struct loop *loop, const struct pool_options *options, struct fault *fault);
/* Closes every connection; exchanges under way fail without on_change. */
void pool_free(struct pool *pool);
struct loop *pool_loop(const struct pool *pool);
/* Its connections are open_socket's. */
bool pool_is_local(const struct pool *pool);

/* Open connections, idle ones among them, and exchanges that wait; how often a connection was used
 * again since the pool began, and how often a new one took up an earlier TLS session. */
struct pool_counts {
    uint32_t connections;
    uint32_t idle;
    uint32_t waiting;
    uint64_t reused;
    uint64_t resumed;
};
/* Over all origins. */
struct pool_counts pool_count(const struct pool *pool);
/* Calls on_origin for each that has a connection or somebody who waits; `name` is as in a URL, in
 * lower case; `reused` and `resumed` are 0. */
void pool_each(const struct pool *pool,
               void (*on_origin)(void *data, const char *name, const struct pool_counts *counts),
               void *data);

/* For fetch.c: finds a carrier or fails it (FETCH_FULL) without on_change. */
void pool_submit(struct pool *pool, struct fetch *fetch);
