/*
 * snapshot.h - the bytes of every app file at one moment, read once by the master and handed to
 * every worker, so that all build the same generation.
 *
 * Lives in a sealed memfd that is mapped read-only; the descriptor travels over the master's pipes.
 *
 * Files are named relative to the apps directory ("hello.lua", "_lib/db.lua", "shop/init.lua").
 * Each belongs to a layer: "" holds what is on disk now. A layer named after an app ("shop") holds
 * every file that this app could see when it last loaded well; an app that has such a layer sees
 * only that one (rule 4 of hot reload: a broken app keeps its last good snapshot).
 */
#pragma once

#include "base/fault.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snapshot_file {
    struct str layer;
    struct str name;
    struct str bytes;
};

struct snapshot; /* read-only once made */

/* Reads all regular files named *.lua below `dir`, leaving out names that start with "." and
 * editors' temporary files. NULL with the reason in `fault`. */
struct snapshot *snapshot_read(const char *dir, struct fault *fault);
/* A new snapshot: the "" layer of `disk`, plus for each name in `apps` a layer with what that app
 * saw in `good` (its own layer there, else good's "" layer). */
struct snapshot *snapshot_hold_back(const struct snapshot *disk, const struct snapshot *good,
                                    const struct str *apps, size_t napps, struct fault *fault);
/* Maps the descriptor that snapshot_fd gave in another process. Does not close it. */
struct snapshot *snapshot_map(int fd, struct fault *fault);
void snapshot_free(struct snapshot *snapshot);

int snapshot_fd(const struct snapshot *snapshot); /* borrowed */
size_t snapshot_count(const struct snapshot *snapshot);
struct snapshot_file snapshot_at(const struct snapshot *snapshot, size_t index);
/* The file as the app sees it: from the app's own layer when it has one, else from "". */
bool snapshot_find(const struct snapshot *snapshot, struct str app, struct str name,
                   struct snapshot_file *file);
/* Same layers, names and bytes. */
bool snapshot_equal(const struct snapshot *a, const struct snapshot *b);
