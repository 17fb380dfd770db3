#include "base/exit_status.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

void exit_describe(int status, char *text, size_t bytes)
{
    if (WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status));
        const char *description = sigdescr_np(WTERMSIG(status));
        snprintf(text, bytes, "killed by SIG%s (%s%s)", name != NULL ? name : "?",
                 description != NULL ? description : "?", WCOREDUMP(status) ? ", core dumped" : "");
    } else {
        snprintf(text, bytes, "exit code %d", WEXITSTATUS(status));
    }
}
