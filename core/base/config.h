/*
 * config.h - every option of the server, as the command line, the environment and moonloop.conf.lua
 * settled it. Filled once before the first fork and read-only afterwards; HUP makes a new one.
 *
 * Times are milliseconds here and seconds for the user. 0 means no limit where there may be none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONFIG_MAX_BINDS = 16, CONFIG_MAX_WORKERS = 256 };

enum forwarded_header { FORWARDED_HEADER_X, FORWARDED_HEADER_STANDARD /* RFC 7239 */ };

struct config {
    char *apps_dir;                /* absolute */
    char *lua_dir;                 /* where moonloop's own Lua files are; absolute */
    char *binds[CONFIG_MAX_BINDS]; /* HOST:PORT, [IPV6]:PORT, unix:PATH, fd://N */
    uint32_t nbinds;
    char *redirect_binds[CONFIG_MAX_BINDS]; /* the same for plain HTTP that leads to https */
    uint32_t nredirect_binds;

    uint32_t workers;   /* resolved: at least 1 */
    uint32_t threads;   /* offload threads per worker; resolved: at least 1 */
    uint32_t processes; /* for run = "process", per worker; resolved: at least 1 */
    bool dev;
    bool reload;

    uint32_t timeout_ms;     /* one request, then 504; a worker stuck for longer is replaced */
    uint32_t block_limit_ms; /* a handler may hold the loop that long */
    uint32_t header_timeout_ms;
    uint32_t body_timeout_ms;
    uint32_t send_timeout_ms;
    uint32_t keepalive_ms;
    uint32_t graceful_timeout_ms;

    uint32_t limit_request_line;   /* bytes */
    uint32_t limit_request_header; /* bytes, all fields together */
    uint32_t limit_request_fields; /* how many */
    uint64_t max_body;             /* bytes */
    uint32_t min_body_rate;        /* bytes per second */
    uint32_t min_send_rate;
    uint32_t max_connections;          /* per worker */
    uint32_t limit_connections_per_ip; /* of the whole server */
    uint32_t keepalive_requests;       /* per connection */
    uint32_t max_requests;
    uint32_t max_requests_jitter;
    uint64_t max_memory; /* bytes, resident, per worker */

    char *pidfile; /* NULL: none; so are the next six */
    char *user;
    char *group;
    char *chdir;
    char *accesslog; /* NULL: off; "-": standard output */
    char *errorlog;  /* NULL or "-": standard error */
    char *certfile;  /* paths with newlines between, as keyfile; NULL: no TLS */
    char *keyfile;
    char *ca_certs;
    int cert_reqs;   /* 0: clients are not asked for certificates; 1: they may; 2: they must */
    uint32_t hsts_s; /* 0: off */
    bool strict_host;
    int umask; /* -1: as inherited */
    bool daemon;
    int loglevel;   /* enum log_level */
    int log_format; /* enum log_format */
    char *control;  /* path of the control socket; NULL: .moonloop/control.sock beside the apps */
    char *shared_path;    /* directory of the shared dictionary; NULL: one of its own, in memory */
    uint64_t shared_size; /* bytes */
    bool shared_sync;     /* its writes wait for the disk */
    char *nameservers;    /* "ADDRESS[:PORT],..."; NULL: those of resolv.conf */
    uint32_t dns_cache;   /* names that each loop remembers */
    uint32_t dns_max_ttl; /* seconds that one is remembered at most */
    bool sandbox;         /* workers may not gain privileges, nor call all of the kernel */
    bool core_dumps;
    char *forwarded_allow_ips; /* networks with commas between, or "*"; see ip_address.h */
    int forwarded_header;      /* enum forwarded_header: the one that those write */
};

void config_deinit(struct config *config);
