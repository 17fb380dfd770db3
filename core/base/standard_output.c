#include "base/standard_output.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_reader_gone(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

void standard_output_settle(void)
{
    const char *reason = NULL; /* of an earlier write it is gone */
    if (fflush(stdout) != 0)
        reason = strerror(errno);
    else if (ferror(stdout) == 0)
        return;
    if (!is_reader_gone())
        fprintf(stderr, "moonloop: cannot write standard output%s%s\n", reason != NULL ? ": " : "",
                reason != NULL ? reason : "");
    _exit(1);
}
