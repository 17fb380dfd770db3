/*
 * helper_wire.h - what helper.c and helper_process.c say to each other. Nobody else includes it.
 *
 * A request is one packet with descriptors in this order: a payload of the words (struct
 * helper_words and the strings behind it, each with its NUL: the arguments, the environment, the
 * directory), the reply socket, where the asker is if `has_here`, and those of `given`. Over the
 * reply socket come a struct helper_answer and, once the program has ended, a struct helper_end.
 * When the asker closes it, by whatever means, the program is over.
 */
#pragma once

#include "base/launch.h"

#include <stdint.h>

/* Even, so that the kernel has no room for one more in what a control message is padded to. */
enum { HELPER_MAGIC = 0x6d6c6870, HELPER_MAX_FDS = LAUNCH_MAX_FDS + 4 };

_Static_assert(HELPER_MAX_FDS % 2 == 0, "no padding behind the descriptors");

struct helper_request {
    uint32_t magic;
    uint32_t nfds;
    uint32_t given; /* a bit for each of the program's descriptors that travels along */
    uint32_t has_here;
};

struct helper_words {
    uint32_t nargv;
    uint32_t nenv;
    uint32_t has_cwd;
};

struct helper_answer {
    int32_t status;
    int32_t stage;
    int32_t pid;
};

struct helper_end {
    int32_t is_known;
    int32_t status;
    int32_t signal;
};
