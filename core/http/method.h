/*
 * method.h - request methods as small numbers; llhttp's own, so that nothing is translated.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

enum http_method {
    METHOD_DELETE = 0,
    METHOD_GET = 1,
    METHOD_HEAD = 2,
    METHOD_POST = 3,
    METHOD_PUT = 4,
    METHOD_CONNECT = 5,
    METHOD_OPTIONS = 6,
    METHOD_TRACE = 7,
    METHOD_PATCH = 28,
    METHOD_COUNT = 64
};

/* "GET" for METHOD_GET; "?" for a number that is none. */
struct str method_name(uint8_t method);
/* The number of an upper-case method name, or -1. */
int method_of(struct str name);
