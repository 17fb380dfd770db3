#include "base/shortage.h"

#ifdef SHORTAGE

#include <execinfo.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TRACE_FRAMES = 24 };

static struct shortage nothing; /* before the file is mapped, and when there is none */
static struct shortage *_Atomic the_shortage;
static _Atomic uint64_t unarmed_seen;

static struct shortage *map_file(void)
{
    const char *path = getenv("SHORTAGE_FILE");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return &nothing;
    void *map = mmap(NULL, sizeof(struct shortage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return map != MAP_FAILED ? map : &nothing;
}

/* Threads that come at once map it twice: the file is the same. */
static struct shortage *shortage(void)
{
    struct shortage *known = atomic_load_explicit(&the_shortage, memory_order_acquire);
    if (known != NULL)
        return known;
    known = map_file();
    atomic_store_explicit(&the_shortage, known, memory_order_release);
    return known;
}

static void trace(void)
{
    void *frames[TRACE_FRAMES];
    int count = backtrace(frames, TRACE_FRAMES);
    backtrace_symbols_fd(frames, count, STDERR_FILENO);
    (void)!write(STDERR_FILENO, "--\n", 3);
}

/* STRESS: as if memory ran out every now and then, where the reserve helps. */
static bool is_regular(enum shortage_kind kind)
{
#ifdef STRESS
    enum { EVERY = 101 };
    return kind == SHORTAGE_OURS &&
           atomic_fetch_add_explicit(&unarmed_seen, 1, memory_order_relaxed) % EVERY == EVERY - 1;
#else
    (void)kind;
    (void)unarmed_seen;
    return false;
#endif
}

bool shortage_is_regular(void)
{
#ifdef STRESS
    return true;
#else
    return false;
#endif
}

bool shortage_strikes(enum shortage_kind kind)
{
    struct shortage *at = shortage();
    uint64_t pid = atomic_load(&at->pid);
    if (pid == 0 || pid != (uint64_t)getpid())
        return is_regular(kind);
    uint64_t number = atomic_fetch_add(&at->seen, 1) + 1, from = atomic_load(&at->from);
    if (from == 0 || number < from || number - from >= atomic_load(&at->count))
        return false;
    if (atomic_fetch_add(&at->refused, 1) == 0 && atomic_load(&at->traced) != 0)
        trace();
    return true;
}

#endif
