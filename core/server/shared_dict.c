#include "server/shared_dict.h"

#include "base/log.h"
#include "server/memory_group.h"
#include "shared/dict.h"
#include "shared/dict_home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* In a process of its own, which whatever is in the files may crash. */
static bool check(const char *path, struct fault *fault)
{
    struct fault found = {0};
    int ends[2], status = 0;
    pid_t pid = pipe2(ends, O_CLOEXEC) == 0 ? fork() : -1;
    if (pid < 0) {
        fault_set(fault, "shared_path: cannot be tried: %s", strerror(errno));
        return false;
    }
    if (pid == 0) {
        bool is_good = dict_check(&found);
        if (write(ends[1], found.text, strlen(found.text) + 1) < 0)
            _exit(2);
        _exit(is_good ? 0 : 1);
    }
    close(ends[1]);
    ssize_t len = read(ends[0], found.text, sizeof(found.text) - 1);
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (len > 1)
        fault_set(fault, "%s", found.text);
    else
        fault_set(
            fault,
            "shared_path: %s/data.mdb is damaged: reading it crashed; move the directory away, "
            "or name another one",
            path);
    return false;
}

const char *shared_dict_own_path(const struct config *config)
{
    struct fault fault = {0};
    return config->shared_path == NULL ? dict_home_path(&fault) : NULL;
}

/* In memory: replacing workers frees nothing of it, so that the kernel would end one process after
 * the other. */
static void warn_of_limit(const struct config *config)
{
    struct memory_group group = {0};
    uint64_t limit;
    if (config->shared_path == NULL && memory_group_find(&group, 0) &&
        memory_group_limit(&group, &limit) && config->shared_size > limit / 2)
        log_warn("shared_size is %.1f MB, the cgroup's memory is limited to %.1f MB: a full "
                 "dictionary leaves "
                 "workers too little; lower shared_size, or name a shared_path on a disk",
                 (double)config->shared_size / 1048576, (double)limit / 1048576);
}

bool shared_dict_prepare(const struct config *config, const struct privileges *privileges,
                         const char *own_path, struct fault *fault)
{
    struct dict_home_options options = {
        .path = config->shared_path,
        .size_bytes = config->shared_size,
        .is_synced = config->shared_sync,
    };
    if (!dict_home_use(&options, fault))
        return false;
    warn_of_limit(config);
    if (config->shared_path == NULL && own_path != NULL)
        dict_home_adopt(own_path);
    const char *path = dict_home_path(fault);
    if (path == NULL || (config->shared_path != NULL && !check(path, fault)))
        return false;
    give_away(path, privileges);
    return true;
}

void shared_dict_remove(void)
{
    dict_home_leave();
}
