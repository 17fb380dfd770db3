/*
 * payload.h - bytes that travel from one process to another as a descriptor.
 */
#pragma once

#include "base/buf.h"

enum { PAYLOAD_MAX_BYTES = 64 * 1024 * 1024 };

/* A memfd with these bytes, or -errno; the caller's to close. */
int payload_new(struct str bytes);
/* Appends the bytes of a payload. 0 or -errno. */
int payload_read(int fd, struct buf *bytes);
