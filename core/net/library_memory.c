#include "net/library_memory.h"

#include "base/mem.h"
#include "base/shortage.h"

#include <ares.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* ---- libuv, c-ares ---- */

static void *reserved_malloc(size_t bytes)
{
    return mem_grow(NULL, bytes);
}

static void *reserved_calloc(size_t count, size_t bytes)
{
    size_t all;
    return __builtin_mul_overflow(count, bytes, &all) ? NULL : mem_zeroed(all);
}

#ifdef SHORTAGE

#include <openssl/crypto.h>

/* ---- OpenSSL ---- */

static void *openssl_malloc(size_t bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    return mem_try_grow(NULL, bytes);
}

static void *openssl_realloc(void *block, size_t bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    return mem_try_grow(block, bytes);
}

static void openssl_free(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    free(block);
}

static void use_in_tests(void)
{
    ENSURE(CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) == 1);
}

#else

static void use_in_tests(void)
{
}

#endif

void library_memory_use(void)
{
    ENSURE(uv_replace_allocator(reserved_malloc, mem_grow, reserved_calloc, free) == 0);
    ENSURE(ares_library_init_mem(ARES_LIB_INIT_ALL, reserved_malloc, free, mem_grow) ==
           ARES_SUCCESS);
    use_in_tests();
}
