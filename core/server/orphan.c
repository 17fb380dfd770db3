#include "server/orphan.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { ORPHAN_SECONDS = 5 }; /* more than the grace of a drain, for one that nobody watches */

static unsigned int orphan_seconds;

/* The kernel's word that the master is gone, also to a worker whose loop is stuck. The next alarm
 * ends the process. */
static void on_orphaned(int number)
{
    signal(number, SIG_DFL);
    alarm(orphan_seconds);
}

void orphan_expect(uint32_t grace_ms)
{
    orphan_seconds = grace_ms / 1000 + ORPHAN_SECONDS;
    signal(SIGALRM, on_orphaned);
    prctl(PR_SET_PDEATHSIG, SIGALRM); /* a master that is gone already closes our socket */
}
