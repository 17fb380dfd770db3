/*
 * router.h - maps method + path to a target, once per request.
 *
 * Built while an app loads, frozen afterwards, freed with the app generation. Knows neither sockets
 * nor Lua: a target is a number the caller chose. Matching neither allocates nor depends on how
 * many routes there are; a frozen router may be read by several threads.
 *
 * A pattern is made of literal segments and parameters that fill a whole segment:
 *   {name}         any segment that is not empty
 *   {name:int}     an optional "-" and digits that fit int64_t
 *   {name:number}  a decimal number as Lua writes it: -1, .5, 2.5e-3
 *   {name...}      the rest of the path, which may be empty; last in its pattern
 * Segment by segment, a literal beats int, int beats number, number beats a plain parameter, and
 * that beats the rest; a choice that leads nowhere (or lacks the method) is taken back.
 *
 * Paths are compared after RFC 3986, 6.2.2: "/%68ello" is "/hello", "%2f" is "%2F" and never a
 * separator. "." and ".." mean nothing here. "/a" and "/a/" are two paths.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ROUTER_MAX_PARAMS = 16,
    ROUTER_MAX_PATTERN = 1024, /* bytes */
    ROUTER_MAX_TARGETS = 65536 /* targets are 0 .. ROUTER_MAX_TARGETS - 1 */
};

enum router_method {
    ROUTER_GET,
    ROUTER_HEAD,
    ROUTER_POST,
    ROUTER_PUT,
    ROUTER_PATCH,
    ROUTER_DELETE,
    ROUTER_OPTIONS,
    ROUTER_ANY, /* a route for every method, also those without a number here */
    ROUTER_METHODS
};

enum route_param_kind { ROUTE_PARAM_TEXT, ROUTE_PARAM_INT, ROUTE_PARAM_NUMBER, ROUTE_PARAM_REST };

struct router;

struct route_param {
    struct str value;    /* raw, borrowed from the path passed in */
    uint8_t kind;        /* enum route_param_kind */
    bool needs_decoding; /* value has a '%' */
};

struct route_match {
    int32_t target; /* as given to router_add; -1: no route */
    uint32_t nparams;
    /* With target -1: 0 when no route covers the path, else the methods that it has, as bits
     * 1 << enum router_method (HEAD comes with GET, OPTIONS always). */
    uint32_t allowed;
    struct route_param params[ROUTER_MAX_PARAMS];
};

struct router *router_new(void);
void router_free(struct router *router);

/* The number of a method name ("GET", "*"), or -1. Names are case-sensitive (RFC 9110, 9.1). */
int router_method(struct str name);

/* 0; -EEXIST when the method has a route of the same shape, whatever its parameters are called;
 * -EINVAL for a malformed pattern. On failure `why` (may be NULL) gets a static text for people.
 * Copies the pattern. The same target may be added again if its parameters have the same names. */
int router_add(struct router *router, int method, struct str pattern, int32_t target,
               const char **why);
/* Methods without a number (-1) find only routes for any method. HEAD finds GET when it has no
 * route of its own. True when there is a target; `match` is filled either way. `path` is without
 * query. */
bool router_match(const struct router *router, int method, struct str path,
                  struct route_match *match);
/* The name of a target's parameter, counted from 0; empty when there is none. Lives with the
 * router. */
struct str router_param_name(const struct router *router, int32_t target, uint32_t index);
/* Writes "GET, HEAD, OPTIONS" with its terminator; returns the length. */
size_t router_allow_text(uint32_t allowed, char text[64]);
