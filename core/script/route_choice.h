/*
 * route_choice.h - which route of a generation a request is for: by host, method and path.
 *
 * Borrows all that it is given. On the loop's thread.
 */
#pragma once

#include "base/str.h"
#include "http/request.h"
#include "http/router.h"

struct generation;
struct route;

/* The route, or the handler of what its app does not know; `match` has its parameters, none for
 * that. NULL: there is none, and the request is answered. */
struct route *route_of_request(struct generation *generation, struct request *request,
                               struct str path, struct route_match *match);
