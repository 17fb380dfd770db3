/*
 * HUP: the configuration is read anew; what can change while the server runs does.
 */
#include "base/log.h"
#include "base/mem.h"
#include "server/config_load.h"
#include "server/master_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What cannot change while the server runs stays; the log says so. */
static void keep_fixed_options(const struct config *old, const struct config *config)
{
    bool is_same = old->nbinds == config->nbinds && strcmp(old->apps_dir, config->apps_dir) == 0;
    is_same = is_same && old->nredirect_binds == config->nredirect_binds;
    for (uint32_t i = 0; is_same && i < old->nbinds; i++)
        is_same = strcmp(old->binds[i], config->binds[i]) == 0;
    for (uint32_t i = 0; is_same && i < old->nredirect_binds; i++)
        is_same = strcmp(old->redirect_binds[i], config->redirect_binds[i]) == 0;
    if (!is_same)
        log_warn(
            "bind, redirect_bind, proxy_protocol and the apps directory change only with a restart "
            "of the server");
    if (old->shared_size != config->shared_size || old->shared_sync != config->shared_sync ||
        strcmp(old->shared_path != NULL ? old->shared_path : "",
               config->shared_path != NULL ? config->shared_path : "") != 0)
        log_warn(
            "shared_path, shared_size and shared_sync change only with a restart of the server");
}

/* TLS comes and goes with the sockets, at a restart. */
static void keep_tls(const struct config *old, struct config *config)
{
    if ((old->certfile == NULL) == (config->certfile == NULL))
        return;
    log_warn("certfile: TLS is switched on and off only with a restart of the server");
    char **places[] = {&config->certfile, &config->keyfile, &config->ca_certs};
    char *const kept[] = {old->certfile, old->keyfile, old->ca_certs};
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        char **place = places[i];
        free(*place);
        *place = kept[i] != NULL ? mem_copy_text(kept[i]) : NULL;
    }
}

/* The paths and addresses that are in use already. */
static void move_fixed_options(struct config *old, struct config *config)
{
    struct config spare = *config;
    memcpy(config->binds, old->binds, sizeof(config->binds));
    config->nbinds = old->nbinds;
    memcpy(config->redirect_binds, old->redirect_binds, sizeof(config->redirect_binds));
    config->nredirect_binds = old->nredirect_binds;
    config->apps_dir = old->apps_dir;
    config->pidfile = old->pidfile;
    config->control = old->control;
    config->shared_path = old->shared_path;
    config->shared_size = old->shared_size;
    config->shared_sync = old->shared_sync;
    memcpy(old->binds, spare.binds, sizeof(old->binds));
    old->nbinds = spare.nbinds;
    memcpy(old->redirect_binds, spare.redirect_binds, sizeof(old->redirect_binds));
    old->nredirect_binds = spare.nredirect_binds;
    old->apps_dir = spare.apps_dir;
    old->pidfile = spare.pidfile;
    old->control = spare.control;
    old->shared_path = spare.shared_path;
}

int master_enter_start_dir(const struct master *master)
{
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fchdir(master->start_dir) != 0)
        log_warn("cannot go back to the directory where the server started: %s", strerror(errno));
    return here;
}

void master_leave_start_dir(int here)
{
    if (here >= 0 && fchdir(here) != 0)
        log_warn("cannot return to the working directory: %s", strerror(errno));
    if (here >= 0)
        close(here);
}

bool master_reload_config(struct master *master, struct fault *fault)
{
    int here = master_enter_start_dir(master);
    struct config *config = master->source.load(master->source.data, fault);
    master_leave_start_dir(here);
    if (config == NULL) {
        log_error("the configuration stays as it was: %s", fault->text);
        return false;
    }
    keep_tls(master->config, config);
    if (!certificates_use_config(master->certificates, config, fault)) {
        log_error("the configuration stays as it was: %s", fault->text);
        config_free(config);
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
        slots_roll(master->slots, SLOTS_INSIST);
    }
    config_free(old);
    return true;
}
