#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

static void die_out_of_memory(size_t bytes) __attribute__((noreturn, cold));

static void die_out_of_memory(size_t bytes)
{
    fprintf(stderr, "moonloop: out of memory (%zu bytes)\n", bytes);
    abort();
}

void *mem_zeroed(size_t bytes)
{
    void *block = calloc(1, bytes);
    if (block == NULL)
        die_out_of_memory(bytes);
    return block;
}

void *mem_grow(void *block, size_t bytes)
{
    void *grown = realloc(block, bytes);
    if (grown == NULL)
        die_out_of_memory(bytes);
    return grown;
}

char *mem_copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(mem_grow(NULL, bytes), text, bytes);
}

void mem_ensure_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "moonloop: %s:%d: broken invariant: %s\n", file, line, condition);
    abort();
}

void mem_give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
