/* Records what a process does to the files below $RECORD_BELOW, in order, into $RECORD_TO, for tests/src/power.rs.
 * LD_PRELOAD it. One lock around each call keeps the order of the record the order of the calls.
 * A record: kind (1 byte), inode (u64), offset (u64), length of the text (u32), text; little-endian.
 *   C create (text: path)   D make a directory (path)   W write (the bytes)   T truncate (offset: the length)
 *   S sync (a file or a directory)   R rename ("from\nto")   L link (path)   U unlink (path) */
#define _GNU_SOURCE
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
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static const char *below;
static size_t below_len;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void begin(void) {
    static __typeof__(&open) real_open;
    pthread_mutex_lock(&lock);
    if (log_fd < 0) {
        real_open = REAL(open);
        below = getenv("RECORD_BELOW");
        below_len = below ? strlen(below) : 0;
        log_fd = real_open(getenv("RECORD_TO"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
}

static void end(void) { pthread_mutex_unlock(&lock); }

static int is_below(const char *path) {
    return below_len && !strncmp(path, below, below_len) && (path[below_len] == '/' || !path[below_len]);
}

static void say(char kind, uint64_t inode, uint64_t offset, const void *text, uint32_t length) {
    static __typeof__(&write) real_write;
    if (!real_write) real_write = REAL(write);
    char *record = malloc(21 + length);
    record[0] = kind;
    memcpy(record + 1, &inode, 8);
    memcpy(record + 9, &offset, 8);
    memcpy(record + 17, &length, 4);
    memcpy(record + 21, text, length);
    if (real_write(log_fd, record, 21 + length) != (ssize_t)(21 + length)) _exit(99);
    free(record);
}

/* The path of an open file; empty where it is none of ours. A file without a name has its directory's. */
static void path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    if (!is_below(path)) path[0] = 0;
}

static void path_at(int dir, const char *name, char *path) {
    if (name[0] == '/' || dir == AT_FDCWD) {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        char folder[PATH_MAX];
        path_of(dir, folder);
        snprintf(path, PATH_MAX, "%.2000s/%.2000s", folder, name);
    }
}

static uint64_t inode_of(int fd) {
    struct stat stat;
    return fstat(fd, &stat) ? 0 : stat.st_ino;
}

static int ours(int fd) {
    char path[PATH_MAX];
    struct stat stat;
    if (fd < 0 || fd == log_fd || fstat(fd, &stat) || !(S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode))) return 0;
    path_of(fd, path);
    return path[0] != 0;
}

static int opened(int dir, const char *name, int flags, mode_t mode) {
    static __typeof__(&openat) real;
    char path[PATH_MAX];
    begin();
    if (!real) real = REAL(openat);
    path_at(dir, name, path);
    struct stat stat;
    int was_there = !lstat(path, &stat);
    int fd = real(dir, name, flags, mode), error = errno;
    if (fd >= 0 && is_below(path) && (flags & O_ACCMODE) != O_RDONLY && ours(fd)) {
        if ((flags & O_TMPFILE) == O_TMPFILE) say('C', inode_of(fd), 0, "", 0);
        else if (!was_there && (flags & O_CREAT)) say('C', inode_of(fd), 0, path, strlen(path));
        else if (flags & O_TRUNC) say('T', inode_of(fd), 0, "", 0);
    }
    end();
    errno = error;
    return fd;
}

#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }
int open(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }
int openat(int dir, const char *name, int flags, ...) { MODE(flags) return opened(dir, name, flags, mode); }
int openat64(int dir, const char *name, int flags, ...) { MODE(flags) return opened(dir, name, flags, mode); }

/* Runs the call; `done` is its result, and on success the record is said. */
#define CALL(type, call, ok, record) begin(); type done = (call); int error = errno; if (ok) { record; } end(); errno = error; return done;

ssize_t write(int fd, const void *bytes, size_t count) {
    static __typeof__(&write) real;
    if (!real) real = REAL(write);
    if (!ours(fd)) return real(fd, bytes, count);
    begin();
    off_t at = (fcntl(fd, F_GETFL) & O_APPEND) ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    ssize_t done = real(fd, bytes, count);
    int error = errno;
    if (done > 0) say('W', inode_of(fd), at, bytes, done);
    end();
    errno = error;
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (ours(fd)) return count ? write(fd, parts[0].iov_base, parts[0].iov_len) : 0;
    return REAL(writev)(fd, parts, count);
}

static ssize_t written_at(int fd, const void *bytes, size_t count, off_t at) {
    static __typeof__(&pwrite) real;
    if (!real) real = REAL(pwrite);
    CALL(ssize_t, real(fd, bytes, count, at), done > 0 && ours(fd), say('W', inode_of(fd), at, bytes, done))
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return written_at(fd, bytes, count, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) { return written_at(fd, bytes, count, at); }

static int cut(int fd, off_t length) {
    static __typeof__(&ftruncate) real;
    if (!real) real = REAL(ftruncate);
    CALL(int, real(fd, length), !done && ours(fd), say('T', inode_of(fd), length, "", 0))
}
int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off_t length) { return cut(fd, length); }

/* As where the file system cannot: then the caller uses write and ftruncate. */
int fallocate(int fd, int mode, off_t at, off_t length) { (void)fd, (void)mode, (void)at, (void)length; errno = EOPNOTSUPP; return -1; }
int fallocate64(int fd, int mode, off_t at, off_t length) { return fallocate(fd, mode, at, length); }
ssize_t copy_file_range(int from, off_t *at, int to, off_t *to_at, size_t count, unsigned flags) { (void)from, (void)at, (void)to, (void)to_at, (void)count, (void)flags; errno = ENOSYS; return -1; }
ssize_t sendfile64(int to, int from, off_t *at, size_t count) { (void)to, (void)from, (void)at, (void)count; errno = EINVAL; return -1; }
ssize_t sendfile(int to, int from, off_t *at, size_t count) { return sendfile64(to, from, at, count); }

int fsync(int fd) { CALL(int, REAL(fsync)(fd), !done && ours(fd), say('S', inode_of(fd), 0, "", 0)) }
int fdatasync(int fd) { CALL(int, REAL(fdatasync)(fd), !done && ours(fd), say('S', inode_of(fd), 0, "", 0)) }

static int renamed(int from_dir, const char *from, int to_dir, const char *to) {
    static __typeof__(&renameat) real;
    char text[2 * PATH_MAX], other[PATH_MAX];
    begin();
    if (!real) real = REAL(renameat);
    path_at(from_dir, from, text);
    path_at(to_dir, to, other);
    int done = real(from_dir, from, to_dir, to), error = errno;
    if (!done && is_below(text)) {
        strcat(strcat(text, "\n"), other);
        say('R', 0, 0, text, strlen(text));
    }
    end();
    errno = error;
    return done;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renamed(from_dir, from, to_dir, to); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char path[PATH_MAX];
    struct stat stat;
    begin();
    path_at(to_dir, to, path);
    int done = REAL(linkat)(from_dir, from, to_dir, to, flags), error = errno;
    if (!done && is_below(path) && !lstat(path, &stat)) say('L', stat.st_ino, 0, path, strlen(path));
    end();
    errno = error;
    return done;
}

static int unlinked(int dir, const char *name, int flags) {
    static __typeof__(&unlinkat) real;
    char path[PATH_MAX];
    begin();
    if (!real) real = REAL(unlinkat);
    path_at(dir, name, path);
    int done = real(dir, name, flags), error = errno;
    if (!done && is_below(path)) say('U', 0, 0, path, strlen(path));
    end();
    errno = error;
    return done;
}
int unlinkat(int dir, const char *name, int flags) { return unlinked(dir, name, flags); }
int unlink(const char *name) { return unlinked(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinked(AT_FDCWD, name, AT_REMOVEDIR); }

static int made(int dir, const char *name, mode_t mode) {
    static __typeof__(&mkdirat) real;
    char path[PATH_MAX];
    struct stat stat;
    begin();
    if (!real) real = REAL(mkdirat);
    path_at(dir, name, path);
    int done = real(dir, name, mode), error = errno;
    if (!done && is_below(path) && !lstat(path, &stat)) say('D', stat.st_ino, 0, path, strlen(path));
    end();
    errno = error;
    return done;
}
int mkdir(const char *name, mode_t mode) { return made(AT_FDCWD, name, mode); }
int mkdirat(int dir, const char *name, mode_t mode) { return made(dir, name, mode); }

/* A break point dies with nothing half done: what was called is in the record. The lock is never given back. */
void abort(void) {
    pthread_mutex_lock(&lock);
    REAL(abort)();
    __builtin_unreachable();
}
