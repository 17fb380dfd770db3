#include "base/config.h"

#include <stdlib.h>

void config_deinit(struct config *config)
{
    char *texts[] = {config->apps_dir,
                     config->lua_dir,
                     config->pidfile,
                     config->user,
                     config->group,
                     config->chdir,
                     config->accesslog,
                     config->errorlog,
                     config->certfile,
                     config->keyfile,
                     config->control,
                     config->shared_path,
                     config->forwarded_allow_ips,
                     config->nameservers,
                     config->ca_certs};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        free(texts[i]);
    for (uint32_t i = 0; i < config->nbinds; i++)
        free(config->binds[i]);
    for (uint32_t i = 0; i < config->nredirect_binds; i++)
        free(config->redirect_binds[i]);
    *config = (struct config){0};
}
