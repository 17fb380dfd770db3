#include "base/launch.h"

#include "base/helper.h"
#include "base/launch_here.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int launch_begin(const struct launch *launch, struct launched *launched)
{
    return helper_is_there() ? helper_ask(launch, launched) : launch_here(launch, launched);
}

int launch_outcome(struct launched *launched)
{
    return launched->pid == 0 ? helper_take_answer(launched) : 0;
}

int launch(const struct launch *launch, struct launched *launched)
{
    int status = launch_begin(launch, launched);
    while (status == 0 && (status = launch_outcome(launched)) == 1) {
        struct pollfd answer = {.fd = launched->end_fd, .events = POLLIN};
        poll(&answer, 1, -1);
        status = 0;
    }
    return status;
}

bool launch_has_ended(const struct launched *launched, struct launch_end *end)
{
    siginfo_t info = {0};
    if (launched->by_helper)
        return helper_has_ended(launched, end);
    *end = (struct launch_end){.status = -1};
    int status;
    while ((status = waitid(P_PIDFD, (id_t)launched->end_fd, &info, WEXITED | WNOHANG | WNOWAIT)) <
               0 &&
           errno == EINTR)
        ;
    if (status < 0)
        return errno != EAGAIN; /* which says that it runs: the pidfd does not block */
    if (info.si_pid == 0)
        return false;
    end->is_known = true;
    if (info.si_code == CLD_EXITED)
        end->status = info.si_status;
    else
        end->signal = info.si_status;
    return true;
}

void launch_signal(const struct launched *launched, int signal)
{
    kill(-launched->pid, signal);
}

void launch_reap(struct launched *launched, int wait_ms)
{
    siginfo_t info;
    struct pollfd ended = {.fd = launched->end_fd, .events = POLLIN};
    while (poll(&ended, 1, wait_ms) < 0 && errno == EINTR)
        ;
    if (!launched->by_helper) /* which reaps it once this is closed */
        waitid(P_PIDFD, (id_t)launched->end_fd, &info, WEXITED | WNOHANG);
    close(launched->end_fd);
    launched->end_fd = -1;
}
