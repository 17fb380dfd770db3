/*
 * launch_here.h - launch.h without a helper in between: the program is this process's child.
 */
#pragma once

#include "base/launch.h"

#include <stdint.h>

/* As launch(). */
int launch_here(const struct launch *launch, struct launched *launched);
/* Closes every descriptor from `first` on. */
void launch_close_from(uint32_t first);
