/* Makes changes of files below a directory fail, as a disk would: loaded into a program by LD_PRELOAD.
 *
 * FAULT_UNDER is the directory, FAULT_CONTROL a file that holds `struct control`, which the test reads
 * and writes while the program runs. Reading is left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct control {
    atomic_llong calls;  /* changes so far, failed ones included */
    atomic_llong from;   /* the first that fails, from 1; 0 for none */
    atomic_llong count;  /* how many fail from there on */
    atomic_llong error;  /* their errno */
    atomic_llong halves; /* whether writes that fail write half before */
};

static struct control *control;
static const char *under;

__attribute__((constructor)) static void begin(void) {
    under = getenv("FAULT_UNDER");
    const char *path = getenv("FAULT_CONTROL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at = file < 0 ? MAP_FAILED
                        : mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (at == MAP_FAILED || !under) abort();
    control = at;
}

static int is_below(const char *path) {
    return control && strncmp(path, under, strlen(under)) == 0;
}

/* Returns whether this change fails, and says so in errno. */
static int fails(void) {
    long long call = atomic_fetch_add(&control->calls, 1) + 1;
    long long from = atomic_load(&control->from);
    if (from == 0 || call < from || call - from >= atomic_load(&control->count)) return 0;
    errno = (int)atomic_load(&control->error);
    return 1;
}

static int fails_for(int file) {
    char link[32], path[4096];
    if (!control) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path) && fails();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define BY_FILE(type, name, parameters, arguments) \
    type name parameters { return fails_for(file) ? -1 : REAL(name) arguments; }
#define BY_PATH(name, parameters, arguments) \
    int name parameters { return is_below(path) && fails() ? -1 : REAL(name) arguments; }
#define WRITES(name, parameters, half, whole) \
    ssize_t name parameters { \
        if (!fails_for(file)) return REAL(name) whole; \
        int error = errno; \
        if (atomic_load(&control->halves) && length > 1) return REAL(name) half; \
        errno = error; \
        return -1; \
    }
#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return flags & O_CREAT && is_below(path) && fails() ? -1 : REAL(name)(path, flags, mode); \
    }

WRITES(write, (int file, const void *from, size_t length), (file, from, length / 2), (file, from, length))
WRITES(pwrite, (int file, const void *from, size_t length, off_t at), (file, from, length / 2, at), (file, from, length, at))
WRITES(pwrite64, (int file, const void *from, size_t length, off64_t at), (file, from, length / 2, at), (file, from, length, at))
BY_FILE(int, fsync, (int file), (file))
BY_FILE(int, fdatasync, (int file), (file))
BY_FILE(int, ftruncate, (int file, off_t length), (file, length))
BY_FILE(int, ftruncate64, (int file, off64_t length), (file, length))
BY_FILE(int, fallocate, (int file, int mode, off_t at, off_t length), (file, mode, at, length))
BY_PATH(mkdir, (const char *path, mode_t mode), (path, mode))
BY_PATH(unlink, (const char *path), (path))
BY_PATH(rename, (const char *path, const char *to), (path, to))
OPENS(open)
OPENS(open64)
