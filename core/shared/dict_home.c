#include "shared/dict_home.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char prefix[] = "moonloop-shared-";
static const char *const files[DICT_HOME_FILES] = {"state", "data.mdb", "lock.mdb"};

static struct {
    pthread_mutex_t mutex;
    char *path;
    uint64_t size_bytes;
    bool is_synced;
    pid_t owner; /* who removes it; 0: nobody */
} home = {.mutex = PTHREAD_MUTEX_INITIALIZER, .size_bytes = DICT_SIZE_BYTES};

/* When the process began, in the kernel's ticks since boot: with the id, its name for good. 0: no
 * such process, or one that has ended and was not waited for. */
uint64_t dict_home_started(int pid)
{
    char name[64], text[1024], *end;
    unsigned long long started = 0;
    snprintf(name, sizeof(name), "/proc/%d/stat", pid);
    FILE *file = fopen(name, "re");
    if (file == NULL)
        return 0;
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[len] = '\0';
    if ((end = strrchr(text, ')')) == NULL || end[1] == '\0' || end[2] == 'Z' || end[2] == 'X')
        return 0;
    for (int field = 2; field < 22 && end != NULL; field++) /* the 22nd; `)` ends the second */
        end = strchr(end + 1, ' ');
    if (end != NULL)
        started = strtoull(end, NULL, 10);
    return started;
}

static bool is_writable(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode) && access(path, W_OK | X_OK) == 0;
}

static const char *place(void)
{
    const char *named = getenv("TMPDIR");
    if (is_writable("/dev/shm"))
        return "/dev/shm";
    return named != NULL && is_writable(named) ? named : "/tmp";
}

static int open_directory(int parent, const char *name)
{
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void remove_directory(int parent, const char *name)
{
    int dir = open_directory(parent, name);
    if (dir < 0)
        return;
    for (uint32_t i = 0; i < DICT_HOME_FILES; i++)
        unlinkat(dir, files[i], 0);
    close(dir);
    unlinkat(parent, name, AT_REMOVEDIR);
}

/* Whether a process has the dictionary open: workers may live a little longer than their master. */
static bool is_in_use(int dir)
{
    int fd = openat(dir, "state", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool is_locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
    if (fd >= 0)
        close(fd);
    return is_locked;
}

static void remove_if_dead(int parent, const char *name)
{
    int pid = 0;
    unsigned long long started = 0;
    struct stat info;
    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0 ||
        sscanf(name + sizeof(prefix) - 1, "%d-%llu-", &pid, &started) != 2)
        return;
    int dir = open_directory(parent, name);
    if (dir < 0)
        return;
    /* Root's server may have given its own away to the user of its workers. */
    bool is_ours = fstat(dir, &info) == 0 && (info.st_uid == geteuid() || geteuid() == 0);
    bool is_dead = is_ours && dict_home_started(pid) != started && !is_in_use(dir);
    close(dir);
    if (is_dead)
        remove_directory(parent, name);
}

static void remove_dead(const char *parent)
{
    DIR *list = opendir(parent);
    if (list == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(list)) != NULL;)
        remove_if_dead(dirfd(list), entry->d_name);
    closedir(list);
}

/* os.exit in a script, too, ends here. */
static void on_exit_of_process(void)
{
    dict_home_leave();
}

/* It goes when this process ends. */
static void own(const char *path)
{
    static bool is_registered;
    free(home.path);
    home.path = mem_copy_text(path);
    home.owner = getpid();
    if (!is_registered)
        is_registered = atexit(on_exit_of_process) == 0;
}

static bool make_own(struct fault *fault)
{
    char path[256];
    const char *parent = place();
    remove_dead(parent);
    snprintf(path, sizeof(path), "%s/%s%d-%llu-XXXXXX", parent, prefix, (int)getpid(),
             (unsigned long long)dict_home_started(getpid()));
    if (mkdtemp(path) == NULL) {
        fault_set(fault, "shared dictionary: cannot make a directory in %s: %s", parent,
                  strerror(errno));
        return false;
    }
    own(path);
    return true;
}

static bool make_named(const char *path, struct fault *fault)
{
    struct stat info;
    int status = mkdir(path, 0700) == 0 || errno == EEXIST ? stat(path, &info) : -1;
    if (status == 0 && !S_ISDIR(info.st_mode)) {
        errno = ENOTDIR;
        status = -1;
    }
    if (status != 0 || access(path, R_OK | W_OK | X_OK) != 0) {
        fault_set(fault, "shared_path: %s: %s", path, strerror(errno));
        return false;
    }
    char *absolute = realpath(path, NULL);
    if (absolute == NULL) {
        fault_set(fault, "shared_path: %s: %s", path, strerror(errno));
        return false;
    }
    home.path = absolute;
    home.owner = 0;
    return true;
}

bool dict_home_use(const struct dict_home_options *options, struct fault *fault)
{
    pthread_mutex_lock(&home.mutex);
    free(home.path);
    home.path = NULL;
    home.size_bytes = options->size_bytes;
    home.is_synced = options->is_synced;
    bool is_done = options->path == NULL || make_named(options->path, fault);
    pthread_mutex_unlock(&home.mutex);
    return is_done;
}

void dict_home_join(const char *path)
{
    pthread_mutex_lock(&home.mutex);
    free(home.path);
    home.path = mem_copy_text(path);
    home.owner = 0;
    pthread_mutex_unlock(&home.mutex);
}

void dict_home_adopt(const char *path)
{
    pthread_mutex_lock(&home.mutex);
    own(path);
    pthread_mutex_unlock(&home.mutex);
}

const char *dict_home_path(struct fault *fault)
{
    pthread_mutex_lock(&home.mutex);
    if (home.path == NULL)
        make_own(fault);
    const char *path = home.path;
    pthread_mutex_unlock(&home.mutex);
    return path;
}

uint64_t dict_home_size_bytes(void)
{
    return home.size_bytes;
}

bool dict_home_is_synced(void)
{
    return home.is_synced;
}

const char *dict_home_file(uint32_t index)
{
    return files[index];
}

void dict_home_leave(void)
{
    if (home.path != NULL && home.owner == getpid())
        remove_directory(AT_FDCWD, home.path);
    if (home.owner == getpid())
        home.owner = 0;
}
