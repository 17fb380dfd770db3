#include "server/privileges.h"

#include "base/str.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* By name, else by number. */
static const struct passwd *find_user(const char *text)
{
    uint64_t number;
    const struct passwd *user = getpwnam(text);
    if (user == NULL && str_to_u64(str_of(text), &number) && number < UINT32_MAX)
        user = getpwuid((uid_t)number);
    return user;
}

static bool find_group(const char *text, gid_t *group)
{
    uint64_t number;
    const struct group *found = getgrnam(text);
    if (found != NULL)
        *group = found->gr_gid;
    else if (str_to_u64(str_of(text), &number) && number < UINT32_MAX)
        *group = (gid_t)number;
    else
        return false;
    return true;
}

bool privileges_find(const struct config *config, struct privileges *privileges,
                     struct fault *fault)
{
    *privileges = (struct privileges){.user = geteuid(), .group = getegid()};
    const struct passwd *user =
        config->user != NULL ? find_user(config->user) : getpwuid(geteuid());
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
    if (config->group != NULL && !find_group(config->group, &privileges->group)) {
        fault_set(fault, "group: there is no group \"%s\"", config->group);
        return false;
    }
    privileges->is_changing = privileges->user != geteuid() || privileges->group != getegid();
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
