/*
 * resolve_files.h - what the machine's files say about names: resolv.conf (5), hosts (5) and the
 * line `hosts:` of nsswitch.conf (5).
 *
 * Read when they are first needed and again when they have changed, which is looked at once a
 * second. Of its loop's thread.
 */
#pragma once

#include "base/str.h"
#include "net/address.h"

#include <stdbool.h>
#include <stdint.h>

enum { RESOLVE_SERVERS_MAX = 8, RESOLVE_DOMAINS_MAX = 16, RESOLVE_FILES = 3 };

struct file_stamp {
    int64_t seconds, nanoseconds, size;
    uint64_t inode;
};

struct host_line {
    const char *name; /* lower case */
    const char *address;
    uint32_t number;
};

struct resolve_files {
    char *paths[RESOLVE_FILES];
    struct file_stamp stamps[RESOLVE_FILES];
    uint64_t looked_ms;
    bool is_read;

    struct address servers[RESOLVE_SERVERS_MAX];
    uint32_t nservers;
    char *domains[RESOLVE_DOMAINS_MAX]; /* to be searched; without dots at the ends */
    uint32_t ndomains;
    uint32_t ndots;
    uint32_t timeout_ms; /* of one try */
    uint32_t attempts;   /* tries of each server */
    bool rotates;        /* each lookup begins with another server */

    bool has_files; /* /etc/hosts counts; */
    bool has_dns;   /* so do the name servers, */
    bool dns_first; /* which are asked first; */
    bool has_other; /* and there are sources that only the C library knows */

    char *hosts_text;
    struct host_line *hosts; /* by name, then in the order of the file */
    uint32_t nhosts;
};

/* In /etc, or in the directory that MOONLOOP_ETC names. */
void resolve_files_init(struct resolve_files *files);
void resolve_files_deinit(struct resolve_files *files);
/* True when something was read anew. `now_ms`: any steady clock. */
bool resolve_files_refresh(struct resolve_files *files, uint64_t now_ms);
/* The addresses of a name (lower case, no dot at its end) in the file hosts; how many. */
uint32_t resolve_files_host(const struct resolve_files *files, const char *name,
                            struct address *addresses, uint32_t most);
/* "127.0.0.1", "127.0.0.1:5353", "::1", "[::1]:5353" or "fe80::1%eth0"; the port is 53 else. */
bool resolve_parse_server(struct str text, struct address *server);
