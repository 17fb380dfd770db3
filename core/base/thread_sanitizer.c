/*
 * thread_sanitizer.c - tells ThreadSanitizer what it cannot see in libraries that are built without
 * it. In builds with it only.
 *
 * Closes: it remembers of each descriptor who opened it, and forgets that with close. libuv closes
 * by syscall(SYS_close): the number that another thread is given next would look like a race of
 * both.
 *
 * LMDB's copies: which thread may write a page LMDB orders by a table of its readers, which is not
 * seen. shared/dict says that order for its own copies (ordered_before); LMDB's are left out.
 */
#include "base/thread_sanitizer.h"

#ifdef __SANITIZE_THREAD__

#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef long (*syscall_fn)(long number, ...);

void __sanitizer_syscall_pre_impl_close(long fd); /* of libtsan */

static syscall_fn system_syscall; /* libc's */

__attribute__((constructor)) static void find_syscall(void)
{
    system_syscall = (syscall_fn)dlsym(RTLD_NEXT, "syscall");
}

/* In place of libc's, for every library: a call is passed on with as many words as any has. */
__attribute__((no_sanitize("thread"))) long syscall(long number, ...)
{
    long words[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        words[i] = va_arg(list, long);
    va_end(list);
    if (system_syscall == NULL) /* a library's constructor came first */
        find_syscall();
    if (number == SYS_close)
        __sanitizer_syscall_pre_impl_close(words[0]);
    return system_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:liblmdb.so\n";
}

#endif
