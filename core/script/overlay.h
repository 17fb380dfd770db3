/*
 * overlay.h - with `dev`: while the newest code is refused and the old goes on, every HTML answer
 * carries what is wrong, so that whoever edits beside a browser sees it there.
 *
 * Belongs to a worker's generations, on its loop thread. Text and nothing else: the page below
 * works.
 */
#pragma once

#include "base/buf.h"
#include "http/request.h"

#include <stdbool.h>

struct generation;

/* After building: sets or empties the overlay by how the apps on disk load. A generation that holds
 * an app back leaves it as it is: the refusal was noted before. */
void overlay_note(struct buf *overlay, const struct generation *generation);
/* The same for a build that gave no generation at all. */
void overlay_note_fault(struct buf *overlay, const char *text);
/* Puts a non-empty overlay behind an HTML body; the answer then borrows `scratch`. */
void overlay_add(const struct buf *overlay, struct buf *scratch, struct answer *answer);
