/* A disk that fails on command, under a process that writes its journal there. Linux.
 *
 * Loaded before libc (LD_PRELOAD), it stands between SQLite and the system for the files whose path
 * begins with $DISK_PREFIX:
 *
 *   What was written and not synced is dropped. Beside each file F it keeps F.durable: what would
 *   be left of F after the power went. A write goes to F alone; a sync of F copies what was written
 *   since the last one. After the process was killed, the test puts F.durable in F's place.
 *
 *   Faults. $DISK_FAULT is a file whose first letter is looked at before each call:
 *     f  a write finds no room (ENOSPC)      r  a write finds the disk read-only (EROFS)
 *     s  a sync fails (EIO)                  anything else, or no file: no fault
 *
 * What it doesn't do: it takes the removal of a file, and the file's name, to be durable at once.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FDS 1024
#define MAX_RANGES 65536
#define MAX_PATH 512

struct range { off_t at; size_t length; };
struct file {
    char path[MAX_PATH];
    int ranges;
    int overflow;
    struct range range[MAX_RANGES];
};

static struct file *files[MAX_FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

static int ours(const char *path) {
    const char *prefix = getenv("DISK_PREFIX");
    return prefix != NULL && path != NULL && strncmp(path, prefix, strlen(prefix)) == 0 &&
           strlen(path) < MAX_PATH - 16 && !ends_with(path, "-shm") && !ends_with(path, ".lock") &&
           !ends_with(path, ".durable");
}

static char fault(void) {
    const char *path = getenv("DISK_FAULT");
    char letter = 0;
    int fd = path == NULL ? -1 : REAL(open)(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, &letter, 1) != 1) letter = 0;
        REAL(close)(fd);
    }
    return letter;
}

static int write_fails(void) {
    switch (fault()) {
    case 'f': errno = ENOSPC; return 1;
    case 'r': errno = EROFS; return 1;
    default: return 0;
    }
}

static void opened(int fd, const char *path) {
    if (fd < 0 || fd >= MAX_FDS || !ours(path)) return;
    pthread_mutex_lock(&lock);
    if (files[fd] == NULL) files[fd] = malloc(sizeof(struct file));
    strcpy(files[fd]->path, path);
    files[fd]->ranges = files[fd]->overflow = 0;
    pthread_mutex_unlock(&lock);
}

static struct file *known(int fd) { return fd >= 0 && fd < MAX_FDS ? files[fd] : NULL; }

static void wrote(int fd, off_t at, ssize_t length) {
    struct file *file = known(fd);
    if (file == NULL || length <= 0) return;
    pthread_mutex_lock(&lock);
    if (file->ranges == MAX_RANGES) file->overflow = 1;
    else file->range[file->ranges++] = (struct range){at, (size_t)length};
    pthread_mutex_unlock(&lock);
}

/* What has reached the disk now: the ranges that were written on this or any other descriptor.
 * Read through `fd`: a file that is opened and closed once more loses the process's locks on it. */
static int make_durable(int fd) {
    struct file *file = known(fd);
    char path[MAX_PATH + 16], block[65536];
    struct stat status;
    if (file == NULL) return 0;
    pthread_mutex_lock(&lock);
    snprintf(path, sizeof path, "%s.durable", file->path);
    int to = REAL(open)(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int other = 0; other < MAX_FDS && to >= 0; other++) {
        struct file *each = files[other];
        if (each == NULL || strcmp(each->path, file->path) != 0) continue;
        if (each->overflow && fstat(fd, &status) == 0) {
            each->range[0] = (struct range){0, (size_t)status.st_size};
            each->ranges = 1;
        }
        for (int n = 0; n < each->ranges; n++) {
            off_t at = each->range[n].at;
            size_t left = each->range[n].length;
            while (left > 0) {
                ssize_t got = pread(fd, block, left < sizeof block ? left : sizeof block, at);
                if (got <= 0) break;
                REAL(pwrite)(to, block, (size_t)got, at);
                at += got;
                left -= (size_t)got;
            }
        }
        each->ranges = each->overflow = 0;
    }
    if (to >= 0 && fstat(fd, &status) == 0) REAL(ftruncate)(to, status.st_size);
    if (to >= 0) REAL(close)(to);
    pthread_mutex_unlock(&lock);
    return 0;
}

#define OPEN(name)                                                       \
    int name(const char *path, int flags, ...) {                         \
        mode_t mode = 0;                                                 \
        if (flags & (O_CREAT | O_TMPFILE)) {                             \
            __builtin_va_list rest;                                      \
            __builtin_va_start(rest, flags);                             \
            mode = __builtin_va_arg(rest, mode_t);                       \
            __builtin_va_end(rest);                                      \
        }                                                                \
        int fd = REAL(name)(path, flags, mode);                          \
        opened(fd, path);                                                \
        return fd;                                                       \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (known(fd) != NULL) {
        free(files[fd]);
        files[fd] = NULL;
    }
    pthread_mutex_unlock(&lock);
    return REAL(close)(fd);
}

#define PWRITE(name, offset)                                             \
    ssize_t name(int fd, const void *data, size_t length, offset at) {   \
        if (known(fd) != NULL && write_fails()) return -1;               \
        ssize_t done = REAL(name)(fd, data, length, at);                 \
        wrote(fd, at, done);                                             \
        return done;                                                     \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *data, size_t length) {
    if (known(fd) == NULL) return REAL(write)(fd, data, length);
    if (write_fails()) return -1;
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = REAL(write)(fd, data, length);
    wrote(fd, at, done);
    return done;
}

#define FTRUNCATE(name, offset)                                          \
    int name(int fd, offset length) {                                    \
        if (known(fd) != NULL && write_fails()) return -1;               \
        return REAL(name)(fd, length);                                   \
    }
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                                       \
    int name(int fd) {                                                   \
        if (known(fd) != NULL && fault() == 's') {                       \
            errno = EIO;                                                 \
            return -1;                                                   \
        }                                                                \
        int done = REAL(name)(fd);                                       \
        if (done == 0) make_durable(fd);                                 \
        return done;                                                     \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    if (ours(path)) {
        char durable[MAX_PATH + 16];
        snprintf(durable, sizeof durable, "%s.durable", path);
        REAL(unlink)(durable);
    }
    return REAL(unlink)(path);
}
