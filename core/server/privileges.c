#include "server/privileges.h"

#include "base/str.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* By name, else by number, which need not be anybody's: then it is the group's as well. */
static bool find_user(const char *text, struct privileges *privileges)
{
    uint64_t number;
    const struct passwd *user = getpwnam(text);
    bool is_number = user == NULL && str_to_u64(str_of(text), &number) && number < UINT32_MAX;
    if (is_number)
        user = getpwuid((uid_t)number);
    if (user == NULL && !is_number)
        return false;
    privileges->user = user != NULL ? user->pw_uid : (uid_t)number;
    privileges->group = user != NULL ? user->pw_gid : (gid_t)number;
    if (user != NULL)
        snprintf(privileges->user_name, sizeof(privileges->user_name), "%s", user->pw_name);
    return true;
}

static void find_own_name(struct privileges *privileges)
{
    const struct passwd *user = getpwuid(geteuid());
    if (user != NULL)
        snprintf(privileges->user_name, sizeof(privileges->user_name), "%s", user->pw_name);
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
    if (config->user == NULL) {
        find_own_name(privileges);
    } else if (!find_user(config->user, privileges)) {
        fault_set(fault, "user: there is no user \"%s\"", config->user);
        return false;
    }
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
    int status = *privileges->user_name != '\0'
                     ? initgroups(privileges->user_name, privileges->group)
                     : setgroups(1, &privileges->group);
    return status == 0 && setgid(privileges->group) == 0 && setuid(privileges->user) == 0;
}
