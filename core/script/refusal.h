/*
 * refusal.h - answers to requests that no handler sees, or that failed in one: a line of text.
 *
 * Stateless. On the loop's thread.
 */
#pragma once

#include "base/str.h"
#include "http/request.h"

#include <stdint.h>

/* `fields`: more header lines, each "Name: value\r\n". Gives the request back. */
void refuse(struct request *request, uint16_t status, const char *text, struct str fields);
/* Of a path that is known for other methods, as bits: 405, or 204 for OPTIONS, with Allow. */
void refuse_method(struct request *request, uint32_t allowed);
