#include "http/saving.h"

#include "base/mem.h"
#include "http/fetch.h"
#include "loop/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum step { OPENING, WRITING, SYNCING, CLOSING, RENAMING };
enum {
    ATTEMPTS_MAX = 8,
    AHEAD_BYTES = 512 * 1024, /* read while a thread writes, or waits for its turn */
};

static void open_temporary(struct saving *saving);

static void end(struct saving *saving)
{
    saving->is_over = true;
    saving->on_change(saving);
}

static void fail(struct saving *saving, const char *doing, int64_t result)
{
    saving->doing = doing;
    saving->error = (int)-result;
    end(saving);
}

static void on_renamed(void *owner, int64_t result, struct buf *bytes)
{
    struct saving *saving = owner;
    (void)bytes;
    if (result < 0) {
        fail(saving, "rename", result);
        return;
    }
    free(saving->temporary); /* nothing to remove any more */
    saving->temporary = NULL;
    end(saving);
}

static void on_closed(void *owner, int64_t result, struct buf *bytes)
{
    struct saving *saving = owner;
    (void)bytes;
    if (result < 0) {
        fail(saving, "write", result);
        return;
    }
    saving->step = RENAMING;
    file_rename(saving->file, saving->temporary, saving->path, saving->is_durable, on_renamed);
}

static void on_synced(void *owner, int64_t result, struct buf *bytes)
{
    struct saving *saving = owner;
    (void)bytes;
    if (result < 0) {
        fail(saving, "sync", result);
        return;
    }
    saving->step = CLOSING;
    file_close(saving->file, on_closed);
}

static void on_written(void *owner, int64_t result, struct buf *bytes)
{
    struct saving *saving = owner;
    saving->is_busy = false;
    if (result < 0) {
        fail(saving, "write", result);
        return;
    }
    saving->written_bytes += (uint64_t)result;
    buf_deinit(&saving->spare);
    saving->spare = *bytes;
    *bytes = (struct buf){0};
    saving_go_on(saving);
    saving->on_change(saving);
}

static void on_opened(void *owner, int64_t result, struct buf *bytes)
{
    struct saving *saving = owner;
    (void)bytes;
    saving->is_busy = false;
    if (result == -EEXIST && ++saving->attempts < ATTEMPTS_MAX) {
        open_temporary(saving);
        return;
    }
    if (result < 0) {
        fail(saving, "open", result);
        return;
    }
    saving->step = WRITING;
    saving_go_on(saving);
    saving->on_change(saving);
}

/* "dir/.name.0123456789abcdef.part" */
static void open_temporary(struct saving *saving)
{
    struct buf name = {0};
    uint64_t number = 0;
    const char *slash = strrchr(saving->path, '/');
    const char *last = slash != NULL ? slash + 1 : saving->path;
    ENSURE(getrandom(&number, sizeof(number), 0) == sizeof(number));
    buf_add(&name, saving->path, (size_t)(last - saving->path));
    buf_printf(&name, ".%.200s.%016llx.part", last, (unsigned long long)number);
    buf_add_char(&name, '\0');
    free(saving->temporary);
    saving->temporary = name.ptr;
    saving->is_busy = true;
    file_open(saving->file, saving->temporary, O_WRONLY | O_CREAT | O_EXCL, saving->mode,
              on_opened);
}

struct saving *saving_new(struct loop *loop, struct fetch *fetch, struct buf *bytes,
                          const struct saving_options *options,
                          void (*on_change)(struct saving *saving), void *owner)
{
    struct saving *saving = MEM_NEW(struct saving);
    saving->fetch = fetch;
    saving->on_change = on_change;
    saving->owner = owner;
    saving->path = mem_copy_text(options->path);
    saving->mode = options->mode;
    saving->is_durable = options->is_durable;
    if (fetch != NULL)
        fetch->ahead_max = AHEAD_BYTES;
    if (bytes != NULL) {
        saving->bytes = *bytes;
        *bytes = (struct buf){0};
    }
    saving->file = file_new(loop, saving);
    open_temporary(saving);
    return saving;
}

void saving_free(struct saving *saving)
{
    if (saving == NULL)
        return;
    if (saving->temporary != NULL)
        file_discard(saving->file, saving->temporary);
    else
        file_free(saving->file);
    buf_deinit(&saving->bytes);
    buf_deinit(&saving->spare);
    free(saving->path);
    free(saving->temporary);
    free(saving);
}

static void finish(struct saving *saving)
{
    saving->is_busy = true;
    if (saving->is_durable) {
        saving->step = SYNCING;
        file_sync(saving->file, on_synced);
    } else {
        saving->step = CLOSING;
        file_close(saving->file, on_closed);
    }
}

/* What there is to be written, moved out. */
static struct buf take_bytes(struct saving *saving)
{
    struct buf bytes = saving->fetch != NULL ? saving->spare : saving->bytes;
    saving->spare = saving->bytes = (struct buf){0};
    if (saving->fetch != NULL)
        fetch_move_body(saving->fetch, &bytes);
    return bytes;
}

void saving_go_on(struct saving *saving)
{
    struct fetch *fetch = saving->fetch;
    if (saving->is_over)
        return;
    if (fetch != NULL && fetch->stage == FETCH_FAILED) {
        saving->is_over = true;
        return;
    }
    if (saving->step != WRITING || saving->is_busy)
        return;
    if ((fetch != NULL ? fetch->answer_body.len : saving->bytes.len) != 0) {
        struct buf bytes = take_bytes(saving);
        saving->is_busy = true;
        file_write(saving->file, saving->written_bytes, &bytes, on_written);
    } else if (fetch == NULL || fetch->stage == FETCH_DONE) {
        finish(saving);
    }
}
