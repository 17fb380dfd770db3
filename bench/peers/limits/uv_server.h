/*
 * uv_server.h - the libuv + llhttp loop that limit-uv and limit-lua share.
 *
 * A connection parses what was read and calls `answer` once per request; the answers that one read
 * brought about leave in one write. One thread, one loop, until SIGTERM.
 */
#pragma once

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

enum { BODY_BYTES = 16384, URL_BYTES = 512, HEADER_BYTES = 64 };

struct conn {
    uv_tcp_t tcp;
    uv_timer_t timer; /* for answer functions that wait; started and stopped by them */
    llhttp_t parser;

    char *out; /* answers not written yet */
    size_t out_len;
    size_t out_size;
    uv_write_t write; /* only after uv_try_write could not take all */
    bool is_writing;
    bool is_parsing;
    int open_handles;

    /* The current request, kept only when server_settings.keeps_request. */
    char url[URL_BYTES];
    size_t url_len;
    char body[BODY_BYTES];
    size_t body_len;
    char client[HEADER_BYTES]; /* value of X-Client */
    size_t client_len;
    bool is_client_header;

    void *data; /* the answer function's own */
};

struct server_settings {
    int port;
    bool keeps_request; /* collect url, body and X-Client */
    void (*answer)(struct conn *conn);
    void (*on_open)(struct conn *conn);  /* may be NULL */
    void (*on_close)(struct conn *conn); /* may be NULL */
};

/* Runs until the process is ended. Returns a libuv error when it cannot listen. */
int server_run(uv_loop_t *loop, const struct server_settings *settings);

void conn_append(struct conn *conn, const char *bytes, size_t len);

/* Writes what was appended. An answer that comes later than its read calls it itself. */
void conn_flush(struct conn *conn);
