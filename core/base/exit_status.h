/*
 * exit_status.h - how a process ended, for people.
 */
#pragma once

#include <stddef.h>

enum { EXIT_TEXT_BYTES = 96 };

/* "killed by SIGSEGV (Segmentation fault)", "exit code 1" from a wait status. */
void exit_describe(int status, char *text, size_t bytes);
