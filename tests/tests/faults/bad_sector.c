/* Loaded into the server by LD_PRELOAD: reads of some bytes of one file fail, as on a disk that has
 * lost a sector. BAD_SECTOR_FILE is its path, BAD_SECTOR_AT the place of the byte that is lost. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int is_bad(int fd, off64_t at, size_t length)
{
    const char *file = getenv("BAD_SECTOR_FILE");
    const char *place = getenv("BAD_SECTOR_AT");
    char link[64], path[4096];
    ssize_t size;
    if (!file || !place || atoll(place) < at || atoll(place) >= at + (off64_t)length)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return strcmp(path, file) == 0;
}

ssize_t pread64(int fd, void *buffer, size_t length, off64_t at)
{
    ssize_t (*real)(int, void *, size_t, off64_t);
    if (is_bad(fd, at, length)) {
        errno = EIO;
        return -1;
    }
    real = (ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
    return real(fd, buffer, length, at);
}
