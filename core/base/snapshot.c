/*
 * The memfd holds a head, a table of entries sorted by layer and name, then the bytes. Offsets
 * count from the start of the file. What another process hands over is checked entry by entry
 * before use: a snapshot that is mapped can be read without further care.
 */
#include "base/snapshot.h"

#include "base/buf.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SNAPSHOT_MAX_DEPTH = 32 };
static const uint64_t SNAPSHOT_MAGIC = 0x746f687370616e73; /* "snapshot" */

struct range {
    uint64_t at;
    uint64_t len;
};

struct entry {
    struct range layer;
    struct range name;
    struct range bytes;
};

struct head {
    uint64_t magic;
    uint64_t count;
    struct entry entries[];
};

struct snapshot {
    int fd;
    size_t size;
    const struct head *head;
};

/* What goes into a snapshot, before it is one. Texts are borrowed or owned by whoever fills it. */
struct draft {
    struct snapshot_file *files;
    size_t count;
    size_t cap;
};

static void draft_add(struct draft *draft, struct snapshot_file file)
{
    if (draft->count == draft->cap) {
        draft->cap = draft->cap != 0 ? draft->cap * 2 : 32;
        draft->files = mem_grow(draft->files, draft->cap * sizeof(*draft->files));
    }
    draft->files[draft->count++] = file;
}

static int compare_str(struct str a, struct str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len != 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_files(const void *a, const void *b)
{
    const struct snapshot_file *left = a, *right = b;
    int order = compare_str(left->layer, right->layer);
    return order != 0 ? order : compare_str(left->name, right->name);
}

static struct range put(struct buf *buf, struct str str)
{
    struct range range = {buf->len, str.len};
    buf_add_str(buf, str);
    return range;
}

static int write_all(int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.ptr, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        bytes.ptr += written;
        bytes.len -= (size_t)written;
    }
    return 0;
}

/* Sorts the draft, writes it into a sealed memfd and maps that. */
static struct snapshot *draft_seal(struct draft *draft, struct fault *fault)
{
    struct buf buf = {0};
    size_t head_bytes = sizeof(struct head) + draft->count * sizeof(struct entry);
    if (draft->count != 0) /* qsort wants an array, even for nothing */
        qsort(draft->files, draft->count, sizeof(*draft->files), compare_files);
    buf_reserve(&buf, head_bytes);
    buf.len = head_bytes;
    for (size_t i = 0; i < draft->count; i++) {
        struct snapshot_file *file = &draft->files[i];
        struct entry entry;
        entry.layer = put(&buf, file->layer);
        entry.name = put(&buf, file->name);
        entry.bytes = put(&buf, file->bytes);
        ((struct head *)(void *)buf.ptr)->entries[i] = entry;
    }
    *(struct head *)(void *)buf.ptr = (struct head){SNAPSHOT_MAGIC, draft->count};

    struct snapshot *snapshot = NULL;
    int fd = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int status = fd < 0 ? -errno : write_all(fd, buf_str(&buf));
    if (status == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) != 0)
        status = -errno;
    if (status < 0)
        fault_set(fault, "cannot keep the apps in memory: %s", strerror(-status));
    else
        snapshot = snapshot_map(fd, fault);
    if (fd >= 0)
        close(fd);
    buf_deinit(&buf);
    return snapshot;
}

/* Editors' temporary files: "x.lua~" and "#x.lua#" do not end in .lua; ".#x.lua" and ".x.lua.swp"
 * begin with a dot. */
static bool is_wanted(const char *name)
{
    size_t len = strlen(name);
    return name[0] != '.' && name[0] != '#' && len > 4 && strcmp(name + len - 4, ".lua") == 0;
}

/* The whole file as a heap block. 0 or -errno. */
static int read_file(int dir_fd, const char *name, struct str *bytes)
{
    struct buf buf = {0};
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0) {
        buf_reserve(&buf, 16384);
        got = read(fd, buf.ptr + buf.len, buf.cap - buf.len);
        if (got > 0)
            buf.len += (size_t)got;
    }
    int status = got < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (status < 0)
        buf_deinit(&buf);
    *bytes = buf_str(&buf);
    return status;
}

static bool read_dir(struct draft *draft, int dir_fd, struct buf *path, int depth,
                     struct fault *fault);

/* One name in a directory: a file to keep, a directory to enter, or nothing of ours. A file that
 * went away between the listing and the reading is no error: the watcher will call again. */
static bool read_entry(struct draft *draft, int dir_fd, const char *name, struct buf *path,
                       int depth, struct fault *fault)
{
    struct stat info;
    size_t path_len = path->len;
    int status = 0;
    if (name[0] == '.' || fstatat(dir_fd, name, &info, 0) != 0)
        return true;
    bool is_dir = S_ISDIR(info.st_mode);
    if (!is_dir && !(S_ISREG(info.st_mode) && is_wanted(name)))
        return true;

    buf_add_text(path, name);
    struct str full_name = {path->ptr, path->len};
    if (is_dir) {
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        buf_add_char(path, '/');
        if (fd < 0)
            status = -errno;
        else if (!read_dir(draft, fd, path, depth + 1, fault))
            return false;
    } else {
        struct snapshot_file file = {.name = full_name};
        status = read_file(dir_fd, name, &file.bytes);
        if (status == 0) {
            file.name.ptr = mem_copy_bytes(full_name.ptr, full_name.len);
            draft_add(draft, file);
        }
    }
    if (status < 0 && status != -ENOENT)
        fault_set(fault, "cannot read %.*s: %s", (int)path->len, path->ptr, strerror(-status));
    path->len = path_len;
    return status == 0 || status == -ENOENT;
}

/* Takes the descriptor over. */
static bool read_dir(struct draft *draft, int dir_fd, struct buf *path, int depth,
                     struct fault *fault)
{
    DIR *dir = depth <= SNAPSHOT_MAX_DEPTH ? fdopendir(dir_fd) : NULL;
    if (dir == NULL) {
        fault_set(fault,
                  depth > SNAPSHOT_MAX_DEPTH ? "%.*s is nested too deeply (a link to itself?)"
                                             : "cannot read the directory %.*s",
                  (int)path->len, path->ptr);
        close(dir_fd);
        return false;
    }
    bool is_read = true;
    struct dirent *entry;
    while (is_read && (entry = readdir(dir)) != NULL)
        is_read = read_entry(draft, dirfd(dir), entry->d_name, path, depth, fault);
    closedir(dir);
    return is_read;
}

struct snapshot *snapshot_read(const char *dir, struct fault *fault)
{
    struct draft draft = {0};
    struct buf path = {0};
    struct snapshot *snapshot = NULL;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fault_set(fault, "cannot open the apps directory %s: %s", dir, strerror(errno));
    else if (read_dir(&draft, fd, &path, 0, fault))
        snapshot = draft_seal(&draft, fault);
    for (size_t i = 0; i < draft.count; i++) {
        free((char *)draft.files[i].name.ptr);
        free((char *)draft.files[i].bytes.ptr);
    }
    free(draft.files);
    buf_deinit(&path);
    return snapshot;
}

static bool has_layer(const struct snapshot *snapshot, struct str layer)
{
    for (size_t i = 0; i < snapshot_count(snapshot); i++)
        if (str_equal(snapshot_at(snapshot, i).layer, layer))
            return true;
    return false;
}

static void add_layer(struct draft *draft, const struct snapshot *from, struct str from_layer,
                      struct str layer)
{
    for (size_t i = 0; i < snapshot_count(from); i++) {
        struct snapshot_file file = snapshot_at(from, i);
        if (!str_equal(file.layer, from_layer))
            continue;
        file.layer = layer;
        draft_add(draft, file);
    }
}

struct snapshot *snapshot_hold_back(const struct snapshot *disk, const struct snapshot *good,
                                    const struct str *apps, size_t napps, struct fault *fault)
{
    struct draft draft = {0};
    const struct str everyone = {"", 0};
    add_layer(&draft, disk, everyone, everyone);
    for (size_t i = 0; i < napps; i++)
        add_layer(&draft, good, has_layer(good, apps[i]) ? apps[i] : everyone, apps[i]);
    struct snapshot *snapshot = draft_seal(&draft, fault);
    free(draft.files);
    return snapshot;
}

static bool is_inside(struct range range, size_t size)
{
    return range.at <= size && range.len <= size - range.at;
}

static bool is_sound(const struct head *head, size_t size)
{
    if (size < sizeof(*head) || head->magic != SNAPSHOT_MAGIC ||
        head->count > (size - sizeof(*head)) / sizeof(struct entry))
        return false;
    for (uint64_t i = 0; i < head->count; i++) {
        const struct entry *entry = &head->entries[i];
        if (!is_inside(entry->layer, size) || !is_inside(entry->name, size) ||
            !is_inside(entry->bytes, size))
            return false;
    }
    return true;
}

struct snapshot *snapshot_map(int fd, struct fault *fault)
{
    struct stat info;
    struct snapshot *snapshot = MEM_NEW(struct snapshot);
    void *map = MAP_FAILED;
    snapshot->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (snapshot->fd < 0 || fstat(snapshot->fd, &info) != 0)
        goto fail;
    snapshot->size = (size_t)info.st_size;
    errno = EINVAL;
    if (snapshot->size < sizeof(struct head))
        goto fail;
    map = mmap(NULL, snapshot->size, PROT_READ, MAP_SHARED, snapshot->fd, 0);
    if (map == MAP_FAILED)
        goto fail;
    snapshot->head = map;
    errno = EINVAL;
    if (!is_sound(snapshot->head, snapshot->size))
        goto fail;
    return snapshot;

fail:
    fault_set(fault, "cannot map the apps into memory: %s", strerror(errno));
    snapshot_free(snapshot);
    return NULL;
}

void snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    if (snapshot->head != NULL)
        munmap((void *)snapshot->head, snapshot->size);
    if (snapshot->fd >= 0)
        close(snapshot->fd);
    free(snapshot);
}

int snapshot_fd(const struct snapshot *snapshot)
{
    return snapshot->fd;
}

size_t snapshot_count(const struct snapshot *snapshot)
{
    return snapshot->head->count;
}

static struct str text_at(const struct snapshot *snapshot, struct range range)
{
    return (struct str){(const char *)snapshot->head + range.at, range.len};
}

struct snapshot_file snapshot_at(const struct snapshot *snapshot, size_t index)
{
    ENSURE(index < snapshot->head->count);
    const struct entry *entry = &snapshot->head->entries[index];
    return (struct snapshot_file){text_at(snapshot, entry->layer), text_at(snapshot, entry->name),
                                  text_at(snapshot, entry->bytes)};
}

/* The first file that does not sort before layer and name. */
static size_t lower_bound(const struct snapshot *snapshot, struct str layer, struct str name)
{
    struct snapshot_file wanted = {.layer = layer, .name = name};
    size_t low = 0, high = snapshot_count(snapshot);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct snapshot_file file = snapshot_at(snapshot, middle);
        if (compare_files(&file, &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool snapshot_find(const struct snapshot *snapshot, struct str app, struct str name,
                   struct snapshot_file *file)
{
    const struct str first = {"", 0};
    size_t at = lower_bound(snapshot, app, first);
    bool has_own = app.len > 0 && at < snapshot_count(snapshot) &&
                   str_equal(snapshot_at(snapshot, at).layer, app);
    struct str layer = has_own ? app : first;
    at = lower_bound(snapshot, layer, name);
    if (at == snapshot_count(snapshot))
        return false;
    *file = snapshot_at(snapshot, at);
    return str_equal(file->layer, layer) && str_equal(file->name, name);
}

bool snapshot_equal(const struct snapshot *a, const struct snapshot *b)
{
    return a->size == b->size && memcmp(a->head, b->head, a->size) == 0;
}
