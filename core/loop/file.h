/*
 * file.h - files on the loop: what may block runs on libuv's threads.
 *
 * A file has one owner, on the loop's thread, which hears the end of each operation once, in the
 * order in which they end; several may be under way. Bytes are moved: an operation owns those that
 * it reads or writes until its end. file_free may come at any moment: nobody is told any more, and
 * descriptor and bytes go when no thread uses them.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct file;
struct loop;

/* The end of an operation, from the loop only: 0 or more, or -errno. `bytes`: what was read (as
 * many as `result` says), or what was to be written; freed afterwards unless moved out. NULL for
 * operations without bytes. The file may be freed in it. */
typedef void (*file_done_fn)(void *owner, int64_t result, struct buf *bytes);

struct file_info {
    uint64_t size; /* bytes */
    int64_t modified_us;
    uint32_t mode;
    bool is_regular;
    bool is_directory;
};

struct file *file_new(struct loop *loop, void *owner);
/* Closes it and frees. NULL is fine. */
void file_free(struct file *file);
/* The same; if it was opened, what is at `path` is removed as well. */
void file_discard(struct file *file, const char *path);

/* Flags as of open(2), O_CLOEXEC is added; `mode` is for a file that it makes. */
void file_open(struct file *file, const char *path, int flags, uint32_t mode, file_done_fn on_done);
bool file_is_open(const struct file *file);
/* Up to `most` bytes from there on, fewer only at the end, where result is 0. `reuse`, which may be
 * NULL, is a buf whose memory is taken. */
void file_read(struct file *file, uint64_t offset, size_t most, struct buf *reuse,
               file_done_fn on_done);
/* All of it, or the error. `bytes` is emptied. */
void file_write(struct file *file, uint64_t offset, struct buf *bytes, file_done_fn on_done);
/* Waits until what was written is on the disk. */
void file_sync(struct file *file, file_done_fn on_done);
/* For file_info afterwards. */
void file_stat(struct file *file, file_done_fn on_done);
const struct file_info *file_info(const struct file *file);
/* Its failure may be that of a write before. The file is not open from now on. */
void file_close(struct file *file, file_done_fn on_done);
/* Of names, which need not be this file's. With `is_durable` waits until the directory of `to` is
 * on the disk. */
void file_rename(struct file *file, const char *from, const char *to, bool is_durable,
                 file_done_fn on_done);

/* Operations under way on that loop, for leak checks. */
uint32_t files_busy(const struct loop *loop);
