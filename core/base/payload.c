#include "base/payload.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int payload_new(struct str bytes)
{
    int fd = memfd_create("payload", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.ptr, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            int status = -errno;
            close(fd);
            return status;
        }
        bytes.ptr += written;
        bytes.len -= (size_t)written;
    }
    return fd;
}

int payload_read(int fd, struct buf *bytes)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return -errno;
    if (info.st_size > PAYLOAD_MAX_BYTES)
        return -EFBIG;
    buf_reserve(bytes, (size_t)info.st_size + 1);
    size_t end = bytes->len + (size_t)info.st_size, start = bytes->len;
    while (bytes->len < end) {
        ssize_t got =
            pread(fd, bytes->ptr + bytes->len, end - bytes->len, (off_t)(bytes->len - start));
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return -EIO;
        if (got > 0)
            bytes->len += (size_t)got;
    }
    return 0;
}
