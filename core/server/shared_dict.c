#include "server/shared_dict.h"

#include "shared/dict.h"
#include "shared/dict_home.h"

#include <stdio.h>

/* To whom the workers will be. */
static void give_away(const char *path, const struct privileges *privileges)
{
    char name[4096];
    privileges_give(privileges, path);
    for (uint32_t i = 0; i < DICT_HOME_FILES; i++) {
        snprintf(name, sizeof(name), "%s/%s", path, dict_home_file(i));
        privileges_give(privileges, name);
    }
}

bool shared_dict_prepare(const struct config *config, const struct privileges *privileges,
                         struct fault *fault)
{
    if (!dict_home_use(config->shared_path, config->shared_size, fault))
        return false;
    const char *path = dict_home_path(fault);
    if (path == NULL || (config->shared_path != NULL && !dict_check(fault)))
        return false;
    give_away(path, privileges);
    return true;
}

void shared_dict_remove(void)
{
    dict_home_leave();
}
