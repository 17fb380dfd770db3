#include "net/tls_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool refuse(struct fault *fault, const char *path, const char *why, int fd)
{
    fault_set(fault, "tls: %s: %s", path, why);
    if (fd >= 0)
        close(fd);
    return false;
}

bool tls_file_read(const char *path, struct buf *bytes, struct fault *fault)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &info) != 0)
        return refuse(fault, path, strerror(errno), fd);
    if (!S_ISREG(info.st_mode))
        return refuse(fault, path, "this is no file", fd);
    if (info.st_size == 0)
        return refuse(fault, path, "the file is empty", fd);
    if (info.st_size > TLS_FILE_MAX_BYTES)
        return refuse(fault, path, "the file is larger than 4 MiB", fd);
    /* Once, so that no copy of a key is left behind by growing. */
    buf_reserve(bytes, (size_t)info.st_size);
    size_t end = bytes->len + (size_t)info.st_size;
    while (bytes->len < end) {
        ssize_t got = read(fd, bytes->ptr + bytes->len, end - bytes->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return refuse(fault, path, strerror(errno), fd);
        if (got == 0)
            break; /* it was shortened meanwhile */
        bytes->len += (size_t)got;
    }
    close(fd);
    return true;
}

void tls_file_forget(struct buf *bytes)
{
    if (bytes->ptr != NULL)
        OPENSSL_cleanse(bytes->ptr, bytes->cap);
    buf_deinit(bytes);
}
