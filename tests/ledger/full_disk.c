/* A disk that is full while the file named by FULL_DISK is there: what would make a table grow fails with ENOSPC. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_full(int fd, off_t end)
{
    char link[64], path[4096];
    struct stat file;
    const char *flag = getenv("FULL_DISK");
    if (!flag || access(flag, F_OK))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || fstat(fd, &file))
        return 0;
    path[length] = 0;
    return strstr(path, "/base/") && end > file.st_size;
}

#define FAIL_IF_FULL(end) if (is_full(fd, end)) { errno = ENOSPC; return -1; }

ssize_t pwrite(int fd, const void *data, size_t length, off_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "pwrite");
    FAIL_IF_FULL(at + (off_t)length)
    return real(fd, data, length, at);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t at) { return pwrite(fd, data, length, at); }

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    static ssize_t (*real)(int, const struct iovec *, int, off_t);
    off_t end = at;
    for (int n = 0; n < count; n++)
        end += parts[n].iov_len;
    if (!real)
        real = dlsym(RTLD_NEXT, "pwritev");
    FAIL_IF_FULL(end)
    return real(fd, parts, count, at);
}

int posix_fallocate(int fd, off_t at, off_t length)
{
    static int (*real)(int, off_t, off_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "posix_fallocate");
    return is_full(fd, at + length) ? ENOSPC : real(fd, at, length);
}
