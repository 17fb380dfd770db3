/*
 * upgrade.h - a handler takes the connection of its request over (RFC 9110, 7.8): 101 is the
 * answer, then bytes go both ways.
 *
 * The request stays with the handler until request_end; then its connection ends.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>

struct request;
struct duplex;

/* NULL when the client has asked for this protocol and its request is complete, else why not. */
const char *upgrade_refusal(const struct request *request, struct str protocol);
/* Answers 101 with these header lines more, each "Name: value\r\n", already checked. Only after
 * upgrade_refusal. The duplex is the caller's, to be released. */
struct duplex *upgrade_take(struct request *request, struct str protocol, struct str fields);
bool upgrade_is_taken(const struct request *request);
/* For request.c: the handler is through with it. */
void upgrade_end(struct request *request);
