/*
 * mem.h - memory that the server itself decides to take: running out of it aborts.
 *
 * Growth that a peer controls goes through buf_try_reserve instead, which can fail.
 */
#pragma once

#include <stddef.h>

/* A zeroed struct on the heap; never NULL. Freed with free(). */
#define MEM_NEW(type) ((type *)mem_zeroed(sizeof(type)))

/* Always on: prints the broken condition with its place and aborts. The master restarts us. */
#define ENSURE(cond) ((cond) ? (void)0 : mem_ensure_failed(#cond, __FILE__, __LINE__))

void *mem_zeroed(size_t bytes);
void *mem_grow(void *block, size_t bytes);
char *mem_copy_text(const char *text);
/* Gives pages that hold nothing any more back to the system; takes up to a few milliseconds.
 * Nothing where the C library cannot. */
void mem_give_back(void);
void mem_ensure_failed(const char *condition, const char *file, int line)
    __attribute__((noreturn, cold));
