/*
 * HUP: the configuration is read anew; what can change while the server runs does.
 */
#include "base/log.h"
#include "server/config_load.h"
#include "server/master_state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What cannot change while the server runs stays; the log says so. */
static void keep_fixed_options(const struct config *old, const struct config *config)
{
    bool is_same = old->nbinds == config->nbinds && strcmp(old->apps_dir, config->apps_dir) == 0;
    for (uint32_t i = 0; is_same && i < old->nbinds; i++)
        is_same = strcmp(old->binds[i], config->binds[i]) == 0;
    if (!is_same)
        log_warn("bind and the apps directory change only with a restart of the server");
    if (old->shared_size != config->shared_size || old->shared_sync != config->shared_sync ||
        strcmp(old->shared_path != NULL ? old->shared_path : "",
               config->shared_path != NULL ? config->shared_path : "") != 0)
        log_warn(
            "shared_path, shared_size and shared_sync change only with a restart of the server");
}

/* The paths and addresses that are in use already. */
static void move_fixed_options(struct config *old, struct config *config)
{
    struct config spare = *config;
    memcpy(config->binds, old->binds, sizeof(config->binds));
    config->nbinds = old->nbinds;
    config->apps_dir = old->apps_dir;
    config->pidfile = old->pidfile;
    config->control = old->control;
    config->shared_path = old->shared_path;
    config->shared_size = old->shared_size;
    config->shared_sync = old->shared_sync;
    memcpy(old->binds, spare.binds, sizeof(old->binds));
    old->nbinds = spare.nbinds;
    old->apps_dir = spare.apps_dir;
    old->pidfile = spare.pidfile;
    old->control = spare.control;
    old->shared_path = spare.shared_path;
}

bool master_reload_config(struct master *master, struct fault *fault)
{
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fchdir(master->start_dir) != 0)
        log_warn("cannot go back to the directory where the server started: %s", strerror(errno));
    struct config *config = master->source.load(master->source.data, fault);
    if (here >= 0 && fchdir(here) != 0)
        log_warn("cannot return to the working directory: %s", strerror(errno));
    if (here >= 0)
        close(here);
    if (config == NULL) {
        log_error("the configuration stays as it was: %s", fault->text);
        return false;
    }
    struct config *old = master->config;
    bool is_rolling = !config_is_same_for_workers(old, config);
    keep_fixed_options(old, config);
    move_fixed_options(old, config);
    master->config = config;
    reload_use_config(master->reload, config);
    if (log_open(config->errorlog, config->loglevel, config->log_format) < 0)
        log_warn("cannot open the log %s", config->errorlog);
    master_set_watching(master);
    slots_use_config(master->slots, config);
    if (config->workers != old->workers && slots_scale(master->slots, config->workers, fault) < 0)
        log_error("%s", fault->text);
    if (is_rolling) {
        log_info("the configuration has changed: replacing the workers one by one");
        slots_roll(master->slots);
    }
    config_free(old);
    return true;
}
