/*
 * One uv_work_t an operation. The descriptor is noted on the loop's thread alone: an operation
 * takes the number with it when it begins. The last thing on a file that was let go of is the work
 * that closes it.
 */
#include "loop/file.h"

#include "base/mem.h"
#include "loop/loop_parts.h"
#include "loop/uv_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    struct loop *loop;
    void *owner; /* NULL once it was let go of */
    struct file_info info;
    char *discarded; /* removed at the end */
    uint32_t nbusy;
    int fd;
    bool was_opened;
    bool is_freed;
};

struct file_op {
    uv_work_t work;
    struct file *file;
    void (*run)(struct file_op *op); /* on another thread; sets result */
    file_done_fn on_done;            /* NULL: nobody is told */
    int64_t result;
    struct buf bytes;
    bool has_bytes;
    bool is_durable;
    int fd; /* that it works on */
    int flags;
    uint32_t mode;
    uint64_t offset;
    size_t most;
    char *path;
    char *to;
    struct file_info info;
};

static int64_t result_of(int64_t status)
{
    return status < 0 ? -errno : status;
}

/* ---- on libuv's threads ---- */

static void run_open(struct file_op *op)
{
    do
        op->result = result_of(open(op->path, op->flags | O_CLOEXEC, (mode_t)op->mode));
    while (op->result == -EINTR);
}

static void run_read(struct file_op *op)
{
    while (op->bytes.len < op->most) {
        ssize_t count = pread(op->fd, op->bytes.ptr + op->bytes.len, op->most - op->bytes.len,
                              (off_t)(op->offset + op->bytes.len));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            op->result = -errno;
            return;
        }
        if (count == 0)
            break;
        op->bytes.len += (size_t)count;
    }
    op->result = (int64_t)op->bytes.len;
}

static void run_write(struct file_op *op)
{
    size_t done = 0;
    while (done < op->bytes.len) {
        ssize_t count =
            pwrite(op->fd, op->bytes.ptr + done, op->bytes.len - done, (off_t)(op->offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            op->result = count < 0 ? -errno : -EIO;
            return;
        }
        done += (size_t)count;
    }
    op->result = (int64_t)done;
}

static void run_sync(struct file_op *op)
{
    op->result = result_of(fsync(op->fd));
}

static void run_stat(struct file_op *op)
{
    struct stat found;
    op->result = result_of(fstat(op->fd, &found));
    if (op->result != 0)
        return;
    op->info = (struct file_info){
        .size = (uint64_t)found.st_size,
        .modified_us = (int64_t)found.st_mtim.tv_sec * 1000000 + found.st_mtim.tv_nsec / 1000,
        .mode = found.st_mode & 07777,
        .is_regular = S_ISREG(found.st_mode),
        .is_directory = S_ISDIR(found.st_mode),
    };
}

/* Linux closes the descriptor also when it says EINTR. */
static void run_close(struct file_op *op)
{
    op->result = op->fd >= 0 ? result_of(close(op->fd)) : -EBADF;
    if (op->result == -EINTR)
        op->result = 0;
    if (op->path != NULL)
        unlink(op->path);
}

static int64_t sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash == NULL ? mem_copy_text(".") : mem_copy_text(path);
    if (slash != NULL)
        directory[slash == path ? 1 : slash - path] = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t result = result_of(fd >= 0 ? fsync(fd) : fd);
    free(directory);
    if (fd >= 0)
        close(fd);
    return result == -EINVAL ? 0 : result; /* a file system that has no such thing */
}

static void run_rename(struct file_op *op)
{
    op->result = result_of(rename(op->path, op->to));
    if (op->result == 0 && op->is_durable)
        op->result = sync_directory(op->to);
}

static void on_work(uv_work_t *work)
{
    struct file_op *op = work->data;
    op->run(op);
}

/* ---- on the loop's ---- */

static void close_at_last(struct file *file);

static void op_free(struct file_op *op)
{
    buf_deinit(&op->bytes);
    free(op->path);
    free(op->to);
    free(op);
}

/* The file goes with the last operation after it was let go of. */
static void end_op(struct file *file)
{
    --*loop_files(file->loop);
    if (--file->nbusy == 0 && file->is_freed)
        close_at_last(file);
}

static void on_worked(uv_work_t *work, int status)
{
    struct file_op *op = work->data;
    struct file *file = op->file;
    if (status != 0) /* taken back before a thread had begun it */
        op->result = status;
    if (op->run == run_open && op->result >= 0) {
        file->fd = (int)op->result;
        file->was_opened = true;
        op->result = 0;
    } else if (op->run == run_stat) {
        file->info = op->info;
    }
    if (op->on_done != NULL && !file->is_freed)
        op->on_done(file->owner, op->result, op->has_bytes ? &op->bytes : NULL);
    op_free(op);
    end_op(file);
}

static struct file_op *op_new(struct file *file, void (*run)(struct file_op *op),
                              file_done_fn on_done)
{
    ENSURE(!file->is_freed);
    struct file_op *op = MEM_NEW(struct file_op);
    op->work.data = op;
    op->file = file;
    op->fd = file->fd;
    op->run = run;
    op->on_done = on_done;
    return op;
}

static void submit(struct file_op *op)
{
    op->file->nbusy++;
    ++*loop_files(op->file->loop);
    ENSURE(uv_queue_work(loop_uv(op->file->loop), &op->work, on_work, on_worked) == 0);
}

/* Nothing is under way any more. */
static void close_at_last(struct file *file)
{
    if (!file->was_opened) { /* what is at that name is not ours */
        free(file->discarded);
        file->discarded = NULL;
    }
    if (file->fd < 0 && file->discarded == NULL) {
        free(file);
        return;
    }
    file->is_freed = false;
    struct file_op *op = op_new(file, run_close, NULL);
    op->path = file->discarded;
    file->discarded = NULL;
    file->fd = -1;
    file->is_freed = true;
    submit(op);
}

struct file *file_new(struct loop *loop, void *owner)
{
    struct file *file = MEM_NEW(struct file);
    file->loop = loop;
    file->owner = owner;
    file->fd = -1;
    return file;
}

void file_free(struct file *file)
{
    if (file == NULL)
        return;
    ENSURE(!file->is_freed);
    file->is_freed = true;
    file->owner = NULL;
    if (file->nbusy == 0)
        close_at_last(file);
}

void file_discard(struct file *file, const char *path)
{
    file->discarded = mem_copy_text(path);
    file_free(file);
}

void file_open(struct file *file, const char *path, int flags, uint32_t mode, file_done_fn on_done)
{
    ENSURE(file->fd < 0);
    struct file_op *op = op_new(file, run_open, on_done);
    op->path = mem_copy_text(path);
    op->flags = flags;
    op->mode = mode;
    submit(op);
}

bool file_is_open(const struct file *file)
{
    return file->fd >= 0;
}

void file_read(struct file *file, uint64_t offset, size_t most, struct buf *reuse,
               file_done_fn on_done)
{
    struct file_op *op = op_new(file, run_read, on_done);
    op->has_bytes = true;
    if (reuse != NULL) {
        op->bytes = *reuse;
        *reuse = (struct buf){0};
    }
    op->bytes.len = 0;
    buf_reserve(&op->bytes, most);
    op->offset = offset;
    op->most = most;
    submit(op);
}

void file_write(struct file *file, uint64_t offset, struct buf *bytes, file_done_fn on_done)
{
    struct file_op *op = op_new(file, run_write, on_done);
    op->has_bytes = true;
    op->bytes = *bytes;
    *bytes = (struct buf){0};
    op->offset = offset;
    submit(op);
}

void file_sync(struct file *file, file_done_fn on_done)
{
    submit(op_new(file, run_sync, on_done));
}

void file_stat(struct file *file, file_done_fn on_done)
{
    submit(op_new(file, run_stat, on_done));
}

const struct file_info *file_info(const struct file *file)
{
    return &file->info;
}

void file_close(struct file *file, file_done_fn on_done)
{
    struct file_op *op = op_new(file, run_close, on_done);
    file->fd = -1;
    submit(op);
}

void file_rename(struct file *file, const char *from, const char *to, bool is_durable,
                 file_done_fn on_done)
{
    struct file_op *op = op_new(file, run_rename, on_done);
    op->path = mem_copy_text(from);
    op->to = mem_copy_text(to);
    op->is_durable = is_durable;
    submit(op);
}

uint32_t files_busy(const struct loop *loop)
{
    return *loop_files((struct loop *)loop);
}
