/*
 * dict_home.h - the directory that the shared dictionary lies in.
 *
 * Either one that the user named, which stays; or one of our own, mode 0700, in memory (/dev/shm,
 * else the directory for temporary files), which goes when the process that made it ends. Those of
 * processes that were killed are removed by the next one that makes one. Settled before threads or
 * forks: a server's master makes it, its workers find it.
 */
#pragma once

#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>

enum { DICT_SIZE_BYTES = 64 << 20, DICT_SMALLEST_BYTES = 1 << 20, DICT_HOME_FILES = 3 };

struct dict_home_options {
    const char *path; /* made when it is not there (its parent must be); NULL: one of our own, made
                         when it is first asked for */
    uint64_t size_bytes; /* at least DICT_SMALLEST_BYTES */
    bool is_synced;      /* a write ends when it is on the disk */
};

/* False with the reason. */
bool dict_home_use(const struct dict_home_options *options, struct fault *fault);
/* Another process's, as dict_home_path gave it there. */
void dict_home_join(const char *path);
/* One of our own, that the program which this process was before has made. */
void dict_home_adopt(const char *path);
/* When a process began: with its id, its name for good. 0: there is none, or it has ended. */
uint64_t dict_home_started(int pid);
/* The directory. NULL with the reason. */
const char *dict_home_path(struct fault *fault);
uint64_t dict_home_size_bytes(void);
bool dict_home_is_synced(void);
/* The name of a file in it; 0 .. DICT_HOME_FILES - 1. */
const char *dict_home_file(uint32_t index);
/* Removes it, when this process has made it for itself. */
void dict_home_leave(void);
