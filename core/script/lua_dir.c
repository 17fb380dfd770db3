#include "script/lua_dir.h"

#include "base/mem.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A directory counts when the face of the library is in it. */
static char *if_usable(const char *dir)
{
    char probe[PATH_MAX + 32];
    char resolved[PATH_MAX];
    if (realpath(dir, resolved) == NULL)
        return NULL;
    snprintf(probe, sizeof(probe), "%s/moonloop/cli/init.lua", resolved);
    return access(probe, R_OK) == 0 ? mem_copy_text(resolved) : NULL;
}

static char *installed_dir(void)
{
    char path[PATH_MAX + 32];
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (len <= 0)
        return NULL;
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return NULL;
    snprintf(slash, sizeof(path) - (size_t)(slash - path), "/../share/moonloop/lua");
    return if_usable(path);
}

char *lua_dir_find(void)
{
    const char *named = getenv("MOONLOOP_LUA_DIR");
    if (named != NULL && *named != '\0')
        return if_usable(named);
    char *dir = installed_dir();
    return dir != NULL ? dir : if_usable(MOONLOOP_SOURCE_LUA_DIR);
}
