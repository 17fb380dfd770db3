/*
 * mem.h - memory, and what happens when there is none.
 *
 * What a peer makes us take (bodies, heads, what Lua holds) is refused when memory is out: the
 * mem_try_ functions give NULL, and one request fails. The small structs with which the server
 * runs, and without which it could not even tell anybody, come from a reserve then, which lasts for
 * as long as the requests at hand need to end: while mem_is_short, new ones are turned away. Only
 * when that is used up as well the process aborts, and the master replaces it. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { MEM_RESERVE_BYTES = 1024 * 1024 }; /* of address space; nothing resident until it is used */

/* A zeroed struct on the heap; never NULL. Freed with free(). */
#define MEM_NEW(type) ((type *)mem_zeroed(sizeof(type)))
/* The same, NULL when memory is out. */
#define MEM_TRY_NEW(type) ((type *)mem_try_zeroed(sizeof(type)))

/* Always on: prints the broken condition with its place and aborts. The master restarts us. */
#define ENSURE(cond) ((cond) ? (void)0 : mem_ensure_failed(#cond, __FILE__, __LINE__))

/* NULL when memory is out; mem_try_grow leaves the block as it is then. */
void *mem_try_zeroed(size_t bytes);
void *mem_try_grow(void *block, size_t bytes);
char *mem_try_copy_text(const char *text);

/* Never NULL: with the reserve behind them. */
void *mem_zeroed(size_t bytes);
void *mem_grow(void *block, size_t bytes);
char *mem_copy_text(const char *text);
/* The same of bytes that have no NUL behind them; the copy has. */
char *mem_copy_bytes(const char *bytes, size_t count);
/* Gives pages that hold nothing any more back to the system; takes up to a few milliseconds.
 * Nothing where the C library cannot. */
void mem_give_back(void);

/* For allocators of our own that have got nothing and must not fail: then they try again. */
void mem_release_reserve(void);
/* True while the reserve is in use and cannot be made whole again, which is tried each time. */
bool mem_is_short(void);
/* Takes the reserve: once per process, at boot; a fork inherits it. */
void mem_reserve(void);

void mem_ensure_failed(const char *condition, const char *file, int line)
    __attribute__((noreturn, cold));
