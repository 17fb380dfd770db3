#include "base/mem.h"

#include "base/shortage.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* One per process, as memory is. The map is held only so that it can be let go. */
static struct {
    pthread_mutex_t mutex;
    void *map; /* NULL: let go, or never taken */
    _Atomic bool is_in_use;
} reserve = {.mutex = PTHREAD_MUTEX_INITIALIZER};

#ifdef __GLIBC__
#include <malloc.h>
#endif

static void die_out_of_memory(size_t bytes) __attribute__((noreturn, cold));

static void die_out_of_memory(size_t bytes)
{
    fprintf(stderr, "moonloop: out of memory (%zu bytes), and the reserve is used up\n", bytes);
    abort();
}

/* ---- the reserve ---- */

static bool take_reserve(void)
{
    if (shortage_strikes(SHORTAGE_ANY))
        return false;
    void *map =
        mmap(NULL, MEM_RESERVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return false;
    reserve.map = map;
    atomic_store(&reserve.is_in_use, false);
    return true;
}

void mem_reserve(void)
{
    pthread_mutex_lock(&reserve.mutex);
    if (reserve.map == NULL)
        take_reserve();
    pthread_mutex_unlock(&reserve.mutex);
}

void mem_release_reserve(void)
{
    pthread_mutex_lock(&reserve.mutex);
    if (reserve.map != NULL) {
        munmap(reserve.map, MEM_RESERVE_BYTES);
        reserve.map = NULL;
        atomic_store(&reserve.is_in_use, true);
    }
    pthread_mutex_unlock(&reserve.mutex);
}

bool mem_is_short(void)
{
    if (!atomic_load_explicit(&reserve.is_in_use, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&reserve.mutex);
    bool is_short = atomic_load(&reserve.is_in_use) && !take_reserve();
    pthread_mutex_unlock(&reserve.mutex);
    return is_short;
}

/* ---- blocks ---- */

void *mem_try_zeroed(size_t bytes)
{
    return shortage_strikes(SHORTAGE_ANY) ? NULL : calloc(1, bytes);
}

void *mem_try_grow(void *block, size_t bytes)
{
    return shortage_strikes(SHORTAGE_ANY) ? NULL : realloc(block, bytes);
}

static char *copy_text(char *copy, const char *text, size_t bytes)
{
    return copy != NULL ? memcpy(copy, text, bytes) : NULL;
}

char *mem_try_copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return copy_text(mem_try_grow(NULL, bytes), text, bytes);
}

void *mem_zeroed(size_t bytes)
{
    void *block = shortage_strikes(SHORTAGE_OURS) ? NULL : calloc(1, bytes);
    if (block != NULL)
        return block;
    mem_release_reserve();
    if ((block = calloc(1, bytes)) == NULL)
        die_out_of_memory(bytes);
    return block;
}

void *mem_grow(void *block, size_t bytes)
{
    void *grown = shortage_strikes(SHORTAGE_OURS) ? NULL : realloc(block, bytes);
    if (grown != NULL)
        return grown;
    mem_release_reserve();
    if ((grown = realloc(block, bytes)) == NULL)
        die_out_of_memory(bytes);
    return grown;
}

char *mem_copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return copy_text(mem_grow(NULL, bytes), text, bytes);
}

char *mem_copy_bytes(const char *bytes, size_t count)
{
    char *copy = mem_grow(NULL, count + 1);
    if (count != 0)
        memcpy(copy, bytes, count);
    copy[count] = '\0';
    return copy;
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
