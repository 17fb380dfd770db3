/*
 * privileges.h - `user` and `group`: the master stays who it is, the workers become these.
 */
#pragma once

#include "base/config.h"
#include "base/fault.h"

#include <stdbool.h>
#include <sys/types.h>

struct privileges {
    bool is_changing;
    uid_t user;
    gid_t group;
    char user_name[64]; /* "": the user is a number without a name */
};

/* Looks the names up. False with the reason when there is no such user, or we may not become it. */
bool privileges_find(const struct config *config, struct privileges *privileges,
                     struct fault *fault);
/* Gives a file to the user, so that workers can open it again later. */
void privileges_give(const struct privileges *privileges, const char *path);
/* In a worker. False with errno set. */
bool privileges_take(const struct privileges *privileges);
