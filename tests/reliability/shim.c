/* What a test does to the disk and the clock of one process: loaded into it by LD_PRELOAD.
 *
 * SHIM_CONTROL names a file of 64-bit integers that the test writes and this library maps:
 *   [0] seconds that the clock is ahead          [1] milliseconds that each sync takes longer
 *   [2] errno of each write and truncation       [3] errno of each sync
 *   [4] errno of each read
 * SHIM_FOLDER names the folder whose files all but [0] is about.
 * SHIM_LOG, where it is set, names a file to which every change of that folder is appended, in order, and every sync with the
 * moment at which it began: what a disk that keeps only what was synced has to go by. See disk.rs, which reads it.
 *
 * The index of the write-ahead log (-shm) is memory, not data: it is rebuilt at each start and left alone here.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS 65536
#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

enum { AHEAD, SYNC_DELAY, WRITE_ERROR, SYNC_ERROR, READ_ERROR, CONTROLS };

static volatile int64_t *control;
static char folder[PATH_MAX];
static size_t folder_length;
static int log_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t moment;
/* The inode behind each descriptor that is of the folder; 0 for all others. */
static uint64_t inode_of[FDS];

static void fail(const char *what) {
    dprintf(2, "shim: %s: %s\n", what, strerror(errno));
    _exit(99);
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SHIM_CONTROL");
    if (path) {
        int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) fail("SHIM_CONTROL");
        close(fd);
        control = map;
    }
    const char *of = getenv("SHIM_FOLDER");
    if (of) {
        snprintf(folder, sizeof folder, "%s", of);
        folder_length = strlen(folder);
    }
    const char *log = getenv("SHIM_LOG");
    if (log) {
        log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0) fail("SHIM_LOG");
    }
}

static int64_t set(int which) { return control ? control[which] : 0; }

static int is_watched(const char *path) {
    size_t length = strlen(path);
    if (!folder_length || strncmp(path, folder, folder_length) != 0) return 0;
    if (path[folder_length] != '/' && path[folder_length] != 0) return 0;
    return length < 4 || strcmp(path + length - 4, "-shm") != 0;
}

static int is_watched_fd(int fd) { return fd >= 0 && fd < FDS && inode_of[fd] != 0; }

/* One record: kind, moment, inode, a number, the lengths of two texts, the texts. The caller holds the lock. */
static void append(char kind, uint64_t inode, uint64_t number, const void *one, uint64_t one_length, const void *two,
                   uint64_t two_length) {
    if (log_fd < 0) return;
    uint64_t head[6] = {(uint64_t)kind, ++moment, inode, number, one_length, two_length};
    struct iovec parts[3] = {{head, sizeof head}, {(void *)one, one_length}, {(void *)two, two_length}};
    ssize_t whole = sizeof head + one_length + two_length;
    if (syscall(SYS_writev, log_fd, parts, 3) != whole) fail("the log of changes");
}

static void append_name(char kind, uint64_t inode, const char *one, const char *two) {
    append(kind, inode, 0, one, strlen(one), two, two ? strlen(two) : 0);
}

static void opened(int fd, const char *path, int existed) {
    if (fd < 0 || fd >= FDS) return;
    struct stat status;
    if (!is_watched(path) || fstat(fd, &status) != 0) {
        inode_of[fd] = 0;
        return;
    }
    inode_of[fd] = status.st_ino;
    if (S_ISDIR(status.st_mode)) {
        append_name('F', status.st_ino, path, NULL);
    } else if (!existed) {
        append_name('C', status.st_ino, path, NULL);
    }
}

static int open_at(const char *path, int flags, mode_t mode) {
    if (!is_watched(path)) {
        int fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
        if (fd >= 0 && fd < FDS) inode_of[fd] = 0;
        return fd;
    }
    if ((flags & O_TRUNC) && access(path, F_OK) == 0) fail("a truncating open is not simulated");
    pthread_mutex_lock(&lock);
    int existed = access(path, F_OK) == 0;
    int fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    int error = errno;
    opened(fd, path, existed);
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return open_at(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return open_at(path, flags | O_LARGEFILE, mode);
}

int close(int fd) {
    if (fd >= 0 && fd < FDS) inode_of[fd] = 0;
    return syscall(SYS_close, fd);
}

/* --- data --- */

static ssize_t write_at(int fd, const void *data, size_t length, off_t at, int moves) {
    int64_t error = set(WRITE_ERROR);
    if (error) {
        errno = error;
        return -1;
    }
    pthread_mutex_lock(&lock);
    if (moves) at = lseek(fd, 0, SEEK_CUR);
    ssize_t written = moves ? syscall(SYS_write, fd, data, length) : syscall(SYS_pwrite64, fd, data, length, at);
    int saved = errno;
    if (written > 0) append('W', inode_of[fd], at, data, written, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return written;
}

ssize_t write(int fd, const void *data, size_t length) {
    return is_watched_fd(fd) ? write_at(fd, data, length, 0, 1) : syscall(SYS_write, fd, data, length);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at) {
    return is_watched_fd(fd) ? write_at(fd, data, length, at, 0) : syscall(SYS_pwrite64, fd, data, length, at);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { return pwrite(fd, data, length, at); }

static int unsimulated(int fd, const char *what) {
    if (is_watched_fd(fd)) fail(what);
    return 0;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    unsimulated(fd, "writev is not simulated");
    return syscall(SYS_writev, fd, parts, count);
}

int fallocate(int fd, int mode, off_t at, off_t length) {
    unsimulated(fd, "fallocate is not simulated");
    return syscall(SYS_fallocate, fd, mode, at, length);
}

int fallocate64(int fd, int mode, off64_t at, off64_t length) { return fallocate(fd, mode, at, length); }

int posix_fallocate(int fd, off_t at, off_t length) {
    return fallocate(fd, 0, at, length) == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off64_t at, off64_t length) { return posix_fallocate(fd, at, length); }

int ftruncate(int fd, off_t length) {
    if (!is_watched_fd(fd)) return syscall(SYS_ftruncate, fd, length);
    int64_t error = set(WRITE_ERROR);
    if (error) {
        errno = error;
        return -1;
    }
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_ftruncate, fd, length);
    int saved = errno;
    if (result == 0) append('T', inode_of[fd], length, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static int failing_read(int fd) {
    int64_t error = set(READ_ERROR);
    if (!error || !is_watched_fd(fd)) return 0;
    errno = error;
    return 1;
}

ssize_t read(int fd, void *data, size_t length) {
    return failing_read(fd) ? -1 : syscall(SYS_read, fd, data, length);
}

ssize_t pread(int fd, void *data, size_t length, off_t at) {
    return failing_read(fd) ? -1 : syscall(SYS_pread64, fd, data, length, at);
}

ssize_t pread64(int fd, void *data, size_t length, off64_t at) { return pread(fd, data, length, at); }

/* What was written before a sync began is durable when it has returned, and not before. */
static int sync_with(int fd, long call) {
    if (!is_watched_fd(fd)) return syscall(call, fd);
    int64_t delay = set(SYNC_DELAY), error = set(SYNC_ERROR);
    pthread_mutex_lock(&lock);
    uint64_t began = moment;
    pthread_mutex_unlock(&lock);
    if (delay) {
        struct timespec wait = {delay / 1000, delay % 1000 * 1000000};
        nanosleep(&wait, NULL);
    }
    if (error) {
        errno = error;
        return -1;
    }
    /* The simulated disk has what the log says: the real one need not be waited for. */
    int result = log_fd < 0 ? syscall(call, fd) : 0;
    if (result == 0) {
        pthread_mutex_lock(&lock);
        append('S', inode_of[fd], began, NULL, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return result;
}

int fsync(int fd) { return sync_with(fd, SYS_fsync); }

int fdatasync(int fd) { return sync_with(fd, SYS_fdatasync); }

/* --- names --- */

static uint64_t inode_at(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0 ? status.st_ino : 0;
}

int mkdir(const char *path, mode_t mode) {
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    int saved = errno;
    if (result == 0 && is_watched(path)) append_name('M', inode_at(path), path, NULL);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    uint64_t inode = inode_at(path);
    int result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    int saved = errno;
    if (result == 0 && is_watched(path)) append_name('U', inode, path, NULL);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    int saved = errno;
    if (result == 0 && is_watched(to)) append_name('L', inode_at(to), to, NULL);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    int saved = errno;
    if (result == 0 && is_watched(to)) append_name('R', inode_at(to), from, to);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

/* --- the clock --- */

int clock_gettime(clockid_t id, struct timespec *time) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int result = real ? real(id, time) : syscall(SYS_clock_gettime, id, time);
    if (result == 0 && id == CLOCK_REALTIME) time->tv_sec += set(AHEAD);
    return result;
}
