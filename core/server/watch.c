#include "server/watch.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUIET_MS = 50, PATIENCE_MS = 500, MISSING_MS = 1000, MAX_DEPTH = 32 };
static const uint32_t WATCHED = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
                                IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

struct watched_dir {
    int id; /* of inotify */
    char *path;
    bool is_inside; /* the apps directory or below it */
};

struct watch {
    struct master_loop *loop;
    struct master_watch events;
    struct master_timer quiet;   /* runs while changes wait to be told */
    struct master_timer missing; /* runs while the directory is not there */
    char *root;
    struct watched_dir *dirs;
    size_t ndirs;
    char **files;
    size_t nfiles;
    uint64_t first_ms; /* of the changes that wait; 0: none */
    bool is_outside;
    bool has_warned;
    watch_changed_fn on_changed;
    void *data;
};

static void watch_tree(struct watch *watch, const char *path, int depth);

static struct watched_dir *find_dir(struct watch *watch, int id)
{
    for (size_t i = 0; i < watch->ndirs; i++)
        if (watch->dirs[i].id == id)
            return &watch->dirs[i];
    return NULL;
}

static void forget_dir(struct watch *watch, struct watched_dir *dir)
{
    free(dir->path);
    *dir = watch->dirs[--watch->ndirs];
}

/* Too many watches is the usual reason to fail: say it once, serve on. */
static void warn(struct watch *watch, const char *path)
{
    if (watch->has_warned || errno == ENOENT || errno == ENOTDIR)
        return;
    watch->has_warned = true;
    log_warn("changes below %s will not be seen: %s%s", path, strerror(errno),
             errno == ENOSPC ? "; raise fs.inotify.max_user_watches" : "");
}

static bool watch_dir(struct watch *watch, const char *path, bool is_inside)
{
    int id = inotify_add_watch(watch->events.fd, path, WATCHED | IN_ONLYDIR);
    if (id < 0) {
        warn(watch, path);
        return false;
    }
    struct watched_dir *known = find_dir(watch, id);
    if (known != NULL) {
        /* The directory may have been renamed since. */
        known->is_inside = known->is_inside || is_inside;
        free(known->path);
        known->path = mem_copy_text(path);
        return true;
    }
    watch->dirs = mem_grow(watch->dirs, (watch->ndirs + 1) * sizeof(*watch->dirs));
    watch->dirs[watch->ndirs++] = (struct watched_dir){id, mem_copy_text(path), is_inside};
    return true;
}

/* Watches first and lists then: what is made in between is seen twice rather than never. */
static void watch_tree(struct watch *watch, const char *path, int depth)
{
    if (depth > MAX_DEPTH || !watch_dir(watch, path, true))
        return;
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct stat info;
        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &info, 0) != 0 ||
            !S_ISDIR(info.st_mode))
            continue;
        struct buf below = {0};
        buf_printf(&below, "%s/%s", path, entry->d_name);
        buf_add_char(&below, '\0');
        watch_tree(watch, below.ptr, depth + 1);
        buf_deinit(&below);
    }
    if (dir != NULL)
        closedir(dir);
}

static void on_quiet(struct master_timer *timer)
{
    struct watch *watch = LIST_ENTRY(timer, struct watch, quiet);
    bool is_outside = watch->is_outside;
    watch->first_ms = 0;
    watch->is_outside = false;
    watch->on_changed(watch->data, is_outside);
}

static void note_change(struct watch *watch, bool is_outside)
{
    uint64_t now = master_now_ms();
    if (watch->first_ms == 0)
        watch->first_ms = now;
    watch->is_outside = watch->is_outside || is_outside;
    uint64_t waited_ms = now - watch->first_ms;
    uint64_t left_ms = waited_ms < PATIENCE_MS ? PATIENCE_MS - waited_ms : 0;
    master_timer_start(watch->loop, &watch->quiet, left_ms < QUIET_MS ? left_ms : QUIET_MS,
                       on_quiet);
}

static void on_missing(struct master_timer *timer)
{
    struct watch *watch = LIST_ENTRY(timer, struct watch, missing);
    watch_tree(watch, watch->root, 0);
    if (watch->ndirs == 0 || access(watch->root, F_OK) != 0)
        master_timer_start(watch->loop, timer, MISSING_MS, on_missing);
    else
        note_change(watch, false);
}

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);
    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

/* Whether one of the single files is meant. */
static bool is_file(const struct watch *watch, const char *dir, const char *name)
{
    size_t dir_len = strlen(dir);
    for (size_t i = 0; i < watch->nfiles; i++)
        if (strncmp(watch->files[i], dir, dir_len) == 0 && watch->files[i][dir_len] == '/' &&
            strcmp(watch->files[i] + dir_len + 1, name) == 0)
            return true;
    return false;
}

static void on_dir_event(struct watch *watch, const struct watched_dir *dir, const char *name)
{
    struct buf path = {0};
    struct stat info;
    buf_printf(&path, "%s/%s", dir->path, name);
    buf_add_char(&path, '\0');
    /* A new directory, or a new link to one. Files that were in it at once are read with it. */
    if (stat(path.ptr, &info) == 0 && S_ISDIR(info.st_mode))
        watch_tree(watch, path.ptr, 0);
    buf_deinit(&path);
}

static void on_event(struct watch *watch, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW) {
        watch_tree(watch, watch->root, 0);
        note_change(watch, true);
        return;
    }
    struct watched_dir *dir = find_dir(watch, event->wd);
    if (dir == NULL)
        return;
    if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) {
        if (strcmp(dir->path, watch->root) == 0)
            master_timer_start(watch->loop, &watch->missing, QUIET_MS, on_missing);
        /* Moved away, not just renamed inside the tree (its parent's event gave it its new path).
         */
        if ((event->mask & IN_MOVE_SELF) && access(dir->path, F_OK) != 0)
            inotify_rm_watch(watch->events.fd, event->wd); /* IN_IGNORED follows */
        if (event->mask & IN_IGNORED)
            forget_dir(watch, dir);
        return;
    }
    if (event->len == 0)
        return;
    const char *name = event->name;
    bool is_dir = (event->mask & IN_ISDIR) != 0;
    if (is_file(watch, dir->path, name)) {
        note_change(watch, true);
    } else if (dir->is_inside && name[0] != '.' && name[0] != '#') {
        if (event->mask & (IN_CREATE | IN_MOVED_TO))
            on_dir_event(watch, dir, name);
        if (is_dir || ends_with(name, ".lua") || (event->mask & IN_CREATE))
            note_change(watch, false);
    }
}

static void on_ready(struct master_watch *events)
{
    struct watch *watch = LIST_ENTRY(events, struct watch, events);
    _Alignas(struct inotify_event) char bytes[16384];
    ssize_t len;
    while ((len = read(events->fd, bytes, sizeof(bytes))) > 0)
        for (char *at = bytes; at < bytes + len;) {
            const struct inotify_event *event = (const struct inotify_event *)(void *)at;
            at += sizeof(*event) + event->len;
            on_event(watch, event);
        }
}

struct watch *watch_new(struct master_loop *loop, const char *dir, watch_changed_fn on_changed,
                        void *data)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0)
        return NULL;
    struct watch *watch = MEM_NEW(struct watch);
    watch->loop = loop;
    watch->root = mem_copy_text(dir);
    watch->on_changed = on_changed;
    watch->data = data;
    master_timer_init(&watch->quiet);
    master_timer_init(&watch->missing);
    master_watch_init(&watch->events);
    master_watch_start(loop, &watch->events, fd, on_ready);
    watch_tree(watch, dir, 0);
    if (watch->ndirs == 0)
        master_timer_start(loop, &watch->missing, MISSING_MS, on_missing);
    return watch;
}

static void free_files(struct watch *watch)
{
    for (size_t i = 0; i < watch->nfiles; i++)
        free(watch->files[i]);
    free(watch->files);
    watch->files = NULL;
    watch->nfiles = 0;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL)
        return;
    int fd = watch->events.fd;
    master_watch_stop(watch->loop, &watch->events);
    master_timer_stop(&watch->quiet);
    master_timer_stop(&watch->missing);
    close(fd);
    for (size_t i = 0; i < watch->ndirs; i++)
        free(watch->dirs[i].path);
    free(watch->dirs);
    free_files(watch);
    free(watch->root);
    free(watch);
}

void watch_set_files(struct watch *watch, const struct str *files, size_t nfiles)
{
    free_files(watch);
    watch->files = mem_zeroed((nfiles + 1) * sizeof(*watch->files));
    for (size_t i = 0; i < nfiles; i++) {
        char *path = mem_copy_bytes(files[i].ptr, files[i].len);
        char *slash = strrchr(path, '/');
        if (slash == NULL) {
            free(path);
            continue;
        }
        watch->files[watch->nfiles++] = path;
        *slash = '\0';
        watch_dir(watch, *path != '\0' ? path : "/", false);
        *slash = '/';
    }
}
