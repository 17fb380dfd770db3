/*
 * head.h - what RFC 9110 and 9112 demand of a request's head beyond its syntax: framing that cannot
 * be misunderstood, one Host, a target of a known form.
 */
#pragma once

#include <stdint.h>

struct request;

/* 0 when all is well; else the status to refuse with, and why. */
uint16_t head_check(const struct request *request, const char **why);
