/*
 * thread_sanitizer.h - an order between threads that a library keeps where ThreadSanitizer does not
 * look. Code is left of it in builds with ThreadSanitizer only.
 */
#pragma once

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#endif

/* What came before ordered_before(at) in one thread is before what comes after ordered_after(at).
 */
static inline void ordered_before(const void *at)
{
#ifdef __SANITIZE_THREAD__
    __tsan_release((void *)at);
#endif
}

static inline void ordered_after(const void *at)
{
#ifdef __SANITIZE_THREAD__
    __tsan_acquire((void *)at);
#endif
}
