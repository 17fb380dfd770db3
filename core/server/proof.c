#include "server/proof.h"

#include "base/snapshot.h"
#include "loop/loop.h"
#include "script/generation.h"
#include "server/background.h"
#include "server/certificates.h"
#include "server/notify.h"
#include "server/privileges.h"
#include "server/sandbox.h"
#include "server/shared_dict.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

bool proof_of_log(const char *option, const char *path, struct fault *fault)
{
    if (path == NULL || strcmp(path, "-") == 0)
        return true;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_CLOEXEC, 0640);
    if (fd < 0) {
        fault_set(fault, "%s: cannot open %s: %s", option, path, strerror(errno));
        return false;
    }
    close(fd);
    return true;
}

/* In the order in which the master meets them. */
static bool is_start_good(const struct config *config, struct privileges *privileges,
                          struct fault *fault)
{
    if (config->chdir != NULL && chdir(config->chdir) != 0) {
        fault_set(fault, "chdir: %s: %s", config->chdir, strerror(errno));
        return false;
    }
    return privileges_find(config, privileges, fault) &&
           (config->pidfile == NULL || pidfile_is_free(config->pidfile, getppid(), fault)) &&
           proof_of_log("errorlog", config->errorlog, fault) &&
           proof_of_log("accesslog", config->accesslog, fault) &&
           (config->shared_path == NULL || shared_dict_prepare(config, privileges, NULL, fault)) &&
           certificates_are_good(config, fault);
}

/* Another user's process is not ended with the master unless it says so again. */
static bool become_worker(const struct config *config, const struct privileges *privileges,
                          struct fault *fault)
{
    notify_leave(NULL);
    if (!privileges_take(privileges))
        fault_set(fault, "cannot become user %s: %s", config->user, strerror(errno));
    else if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || !sandbox_enter(config))
        fault_set(fault, "the sandbox cannot be entered: %s; --no-sandbox goes without it",
                  strerror(errno));
    return !fault->is_set;
}

/* Says which apps fail. True when none does. */
static bool load_apps(const struct config *config, struct snapshot *snapshot, struct fault *fault)
{
    bool is_good = true;
    struct loop *loop = loop_new();
    struct generations *all = generations_new(loop, config, NULL);
    struct generation *generation = generation_build(all, 1, snapshot, fault);
    for (size_t i = 0; generation != NULL && i < generation_napps(generation); i++) {
        struct app_report report = generation_app(generation, i);
        is_good = is_good && report.is_ok;
        if (!report.is_ok)
            fprintf(stderr, "%.*s\n", (int)report.error.len, report.error.ptr);
    }
    if (generation != NULL)
        generation_free(generation);
    generations_free(all);
    loop_free(loop);
    return generation != NULL && is_good;
}

bool proof_try(const struct config *config, struct fault *fault)
{
    struct privileges privileges;
    struct snapshot *snapshot = NULL;
    if (!is_start_good(config, &privileges, fault) ||
        (snapshot = snapshot_read(config->apps_dir, fault)) == NULL)
        return false;
    if (!become_worker(config, &privileges, fault)) {
        snapshot_free(snapshot);
        return false;
    }
    return load_apps(config, snapshot, fault);
}
