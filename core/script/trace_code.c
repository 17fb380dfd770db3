#include "script/trace_code.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RANGES_MAX = 32, READ_BYTES = 4096 };

struct ranges {
    struct {
        uintptr_t from, to;
    } all[RANGES_MAX];
    unsigned count;
    bool is_whole; /* false: there are others */
};

/* "7f0c1000-7f0c2000 r-xp 00000000 00:00 0": executable, and of no file. */
static void add_line(struct ranges *ranges, const char *line)
{
    unsigned long from, to;
    char rights[5], device[6];
    int path_at = 0;
    if (sscanf(line, "%lx-%lx %4s %*x %5s %*u %n", &from, &to, rights, device, &path_at) != 4 ||
        strchr(rights, 'x') == NULL || strcmp(device, "00:00") != 0 || line[path_at] != '\0')
        return;
    if (ranges->count == RANGES_MAX) {
        ranges->is_whole = false;
        return;
    }
    ranges->all[ranges->count].from = from;
    ranges->all[ranges->count++].to = to;
}

/* Takes no memory: there is none. */
static void read_ranges(struct ranges *ranges, int fd)
{
    char bytes[READ_BYTES + 1];
    size_t have = 0;
    ssize_t count;
    while ((count = read(fd, bytes + have, READ_BYTES - have)) > 0 ||
           (count < 0 && errno == EINTR)) {
        char *line = bytes, *end;
        have += count > 0 ? (size_t)count : 0;
        bytes[have] = '\0';
        while ((end = strchr(line, '\n')) != NULL) {
            *end = '\0';
            add_line(ranges, line);
            line = end + 1;
        }
        have -= (size_t)(line - bytes);
        memmove(bytes, line, have);
        if (have == READ_BYTES) /* a longer line than there is */
            return;
    }
    ranges->is_whole &= count == 0;
}

static bool is_in(const struct ranges *ranges, uintptr_t address)
{
    for (unsigned i = 0; i < ranges->count; i++)
        if (address >= ranges->all[i].from && address < ranges->all[i].to)
            return true;
    return false;
}

/* Every word between here and there: a return address into compiled code is one of them. */
__attribute__((no_sanitize("address"), noinline)) static bool
is_on_stack(const struct ranges *ranges, const void *bottom)
{
    const uintptr_t *at = __builtin_frame_address(0);
    for (; (const void *)at < bottom; at++)
        if (is_in(ranges, *at))
            return true;
    return false;
}

bool trace_code_is_below(const void *bottom)
{
    struct ranges ranges = {.is_whole = true};
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true; /* who knows */
    read_ranges(&ranges, fd);
    close(fd);
    return !ranges.is_whole || is_on_stack(&ranges, bottom);
}
