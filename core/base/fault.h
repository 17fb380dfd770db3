/*
 * fault.h - why booting or reloading did not work, as a sentence for a person.
 *
 * Filled by whoever knows the reason, printed once by whoever decides. The first reason stays.
 */
#pragma once

#include <stdbool.h>

enum { FAULT_TEXT_BYTES = 4096 };

struct fault {
    bool is_set;
    char text[FAULT_TEXT_BYTES];
};

void fault_set(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));
