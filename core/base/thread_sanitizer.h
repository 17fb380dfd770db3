/*
 * thread_sanitizer.h - an order between threads that a library keeps where ThreadSanitizer does not
 * look. Code is left of it in builds with ThreadSanitizer only.
 */
#pragma once

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
/* What came before ordered_before(at) in one thread is before what comes after ordered_after(at).
 */
#define ordered_before(at) __tsan_release((void *)(at))
#define ordered_after(at) __tsan_acquire((void *)(at))
#else
#define ordered_before(at) ((void)0)
#define ordered_after(at) ((void)0)
#endif
