/*
 * tls_file.h - files with certificates and keys as bytes in memory, which is wiped afterwards.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"

#include <stdbool.h>

enum { TLS_FILE_MAX_BYTES = 4 * 1024 * 1024 };

/* Appends all of the file. False with a sentence: there is none, it is empty or larger than that.
 */
bool tls_file_read(const char *path, struct buf *bytes, struct fault *fault);
/* Overwrites and frees what may be a key. */
void tls_file_forget(struct buf *bytes);
