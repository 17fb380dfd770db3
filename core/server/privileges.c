#include "server/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool privileges_find(const struct config *config, struct privileges *privileges,
                     struct fault *fault)
{
    *privileges = (struct privileges){.user = geteuid(), .group = getegid()};
    const struct passwd *user = config->user != NULL ? getpwnam(config->user) : getpwuid(geteuid());
    if (config->user != NULL && user == NULL) {
        fault_set(fault, "user: there is no user \"%s\"", config->user);
        return false;
    }
    if (config->user != NULL) {
        privileges->user = user->pw_uid;
        privileges->group = user->pw_gid;
    }
    if (user != NULL)
        snprintf(privileges->user_name, sizeof(privileges->user_name), "%s", user->pw_name);
    const struct group *group = config->group != NULL ? getgrnam(config->group) : NULL;
    if (config->group != NULL && group == NULL) {
        fault_set(fault, "group: there is no group \"%s\"", config->group);
        return false;
    }
    if (group != NULL)
        privileges->group = group->gr_gid;
    privileges->is_changing =
        privileges->user != geteuid() || privileges->group != getegid();
    if (privileges->is_changing && geteuid() != 0) {
        fault_set(fault, "user, group: only root can change them; start as root or leave them out");
        return false;
    }
    return true;
}

void privileges_give(const struct privileges *privileges, const char *path)
{
    if (privileges->is_changing && path != NULL && strcmp(path, "-") != 0 &&
        chown(path, privileges->user, privileges->group) != 0)
        return; /* the worker says so when it cannot open the file */
}

bool privileges_take(const struct privileges *privileges)
{
    if (!privileges->is_changing)
        return true;
    return initgroups(privileges->user_name, privileges->group) == 0 &&
           setgid(privileges->group) == 0 && setuid(privileges->user) == 0;
}
