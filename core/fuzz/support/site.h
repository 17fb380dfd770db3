/*
 * site.h - a worker's server without a worker, for harnesses: a socket pair instead of a listener,
 * and a handler that does with a request what the first letter of its path asks for.
 *
 *   /s  answers in pieces         /l  answers a turn of the loop later
 *   /i  sends a 103 before        /t  takes the body as it comes
 *   /w  begins to answer before the body is there
 *   /a  cuts the connection       else: reads the whole body and answers with it, or with the path
 *
 * It keeps a journal of the requests that were given to the handler. One of it in a process.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;

enum { SITE_BODY_MAX = 4096, SITE_LINE_MAX = 1024, SITE_HEAD_MAX = 4096, SITE_FIELDS_MAX = 32 };

/* Once; the loop is the site's. */
struct loop *site_start(void);
/* A connection of it, for an enum http_service, perhaps with HTTP_EXPECTS_PROXY: the client's end,
 * which does not block; the caller's to close. */
int site_connect(uint8_t service);
/* Whether Forwarded is believed in place of X-Forwarded-*. */
void site_use_forwarded(bool is_standard);
/* One turn of the loop, and the answers that are late. */
void site_turn(void);
/* Requests that have not been answered. */
uint32_t site_pending(void);
uint32_t site_connections(void);

/* "METHOD target\n", each field as "name: value\n", "\n", the body if it is
 * whole and how it ended, "\n"; one
 * after the other. */
struct buf *site_journal(void);
/* What happened since site_forget. */
struct site_tally {
    uint32_t requests;  /* given to the handler */
    uint32_t abandoned; /* of those, whose client left before the answer */
    uint32_t cuts;      /* connections that it has cut: what was answered before may be lost */
    uint64_t heads;     /* which of the first 64 requests have the method HEAD: bits */
};

struct site_tally site_tally(void);
void site_forget(void);
