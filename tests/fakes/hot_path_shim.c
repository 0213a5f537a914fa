/*
 * libhot_path_shim.so, preloaded: counts allocations, locks, SQLite and file calls of one thread
 * between hot_path_begin() and hot_path_end(). Calls that libc makes inside itself are not seen, so
 * each public way in is listed here. Not for use under ASan or TSan, which interpose the same
 * names. tests/stress/hot_path_check.c shows that every counter counts.
 */
#include "hot_path_shim.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

/* initial-exec: reading it must not allocate, malloc reads it. */
static _Thread_local struct {
    struct hot_path_counts counts;
    int paused;
    int active;
} mine __attribute__((tls_model("initial-exec")));

void hot_path_begin(void)
{
    memset(&mine.counts, 0, sizeof mine.counts);
    mine.active = 1;
}

void hot_path_end(struct hot_path_counts *ret_counts)
{
    mine.active = 0;
    if (ret_counts)
        *ret_counts = mine.counts;
}

void hot_path_pause(void)
{
    mine.paused++;
}

void hot_path_resume(void)
{
    mine.paused--;
}

#define COUNT(field) (mine.counts.field += (uint64_t)(mine.active && mine.paused == 0))

static void *next(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (!symbol && strncmp(name, "sqlite3_", 8) == 0) { /* loaded by dlopen, behind us */
        void *library = dlopen("libsqlite3.so.0", RTLD_NOW);
        symbol = library ? dlsym(library, name) : NULL;
    }
    if (!symbol)
        abort();
    return symbol;
}

/* Defines a function that counts and forwards. The target is looked up once, outside the count. */
#define FORWARD(type, name, parameters, arguments, field)                                          \
    type name parameters                                                                           \
    {                                                                                              \
        static type(*target) parameters;                                                           \
        COUNT(field);                                                                              \
        if (!target) {                                                                             \
            hot_path_pause();                                                                      \
            void *symbol = next(#name);                                                            \
            memcpy(&target, &symbol, sizeof symbol);                                               \
            hot_path_resume();                                                                     \
        }                                                                                          \
        return target arguments;                                                                   \
    }

/* ---- memory: to glibc's own names, because dlsym() allocates ------------------------------ */

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t n, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);
extern void __libc_free(void *memory);

void *malloc(size_t bytes)
{
    COUNT(allocations);
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    COUNT(allocations);
    return __libc_calloc(n, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    COUNT(allocations);
    return __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    COUNT(allocations);
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **ret_memory, size_t alignment, size_t bytes)
{
    COUNT(allocations);
    *ret_memory = __libc_memalign(alignment, bytes);
    return *ret_memory ? 0 : 12; /* ENOMEM */
}

void free(void *memory)
{
    COUNT(frees);
    __libc_free(memory);
}

FORWARD(void *, mmap, (void *at, size_t bytes, int protection, int flags, int fd, off_t offset),
    (at, bytes, protection, flags, fd, offset), allocations)
FORWARD(int, munmap, (void *at, size_t bytes), (at, bytes), frees)

/* ---- locks -------------------------------------------------------------------------------- */

FORWARD(int, pthread_mutex_lock, (pthread_mutex_t * m), (m), locks)
FORWARD(int, pthread_mutex_trylock, (pthread_mutex_t * m), (m), locks)
FORWARD(
    int, pthread_mutex_timedlock, (pthread_mutex_t * m, const struct timespec *t), (m, t), locks)
FORWARD(int, pthread_rwlock_rdlock, (pthread_rwlock_t * l), (l), locks)
FORWARD(int, pthread_rwlock_wrlock, (pthread_rwlock_t * l), (l), locks)
FORWARD(int, pthread_rwlock_tryrdlock, (pthread_rwlock_t * l), (l), locks)
FORWARD(int, pthread_rwlock_trywrlock, (pthread_rwlock_t * l), (l), locks)
FORWARD(int, pthread_spin_lock, (pthread_spinlock_t * l), (l), locks)
FORWARD(int, pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t *m), (c, m), locks)
FORWARD(int, pthread_cond_signal, (pthread_cond_t * c), (c), locks)
FORWARD(int, pthread_cond_broadcast, (pthread_cond_t * c), (c), locks)
FORWARD(int, sem_wait, (sem_t * s), (s), locks)
FORWARD(int, sem_trywait, (sem_t * s), (s), locks)
FORWARD(int, sem_post, (sem_t * s), (s), locks)
FORWARD(int, mtx_lock, (mtx_t * m), (m), locks)
FORWARD(int, mtx_trylock, (mtx_t * m), (m), locks)

long syscall(long number, ...)
{
    static long (*target)(long, ...);
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_futex)
        COUNT(locks);
    if (!target) {
        hot_path_pause();
        void *symbol = next("syscall");
        memcpy(&target, &symbol, sizeof symbol);
        hot_path_resume();
    }
    return target(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- SQLite, without its header ----------------------------------------------------------- */

int sqlite3_step(void *statement);
int sqlite3_reset(void *statement);
int sqlite3_prepare_v2(void *db, const char *sql, int n, void **statement, const char **tail);
int sqlite3_prepare_v3(
    void *db, const char *sql, int n, unsigned flags, void **statement, const char **tail);
int sqlite3_exec(void *db, const char *sql, void *fn, void *user, char **message);

FORWARD(int, sqlite3_step, (void *statement), (statement), sqlite)
FORWARD(int, sqlite3_reset, (void *statement), (statement), sqlite)
FORWARD(int, sqlite3_prepare_v2,
    (void *db, const char *sql, int n, void **statement, const char **tail),
    (db, sql, n, statement, tail), sqlite)
FORWARD(int, sqlite3_prepare_v3,
    (void *db, const char *sql, int n, unsigned flags, void **statement, const char **tail),
    (db, sql, n, flags, statement, tail), sqlite)
FORWARD(int, sqlite3_exec, (void *db, const char *sql, void *fn, void *user, char **message),
    (db, sql, fn, user, message), sqlite)

/* ---- files -------------------------------------------------------------------------------- */

#define FORWARD_OPEN(name, parameters, last, arguments)                                            \
    int name parameters                                                                            \
    {                                                                                              \
        static int(*target) parameters;                                                            \
        va_list list;                                                                              \
        va_start(list, last);                                                                      \
        const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;              \
        va_end(list);                                                                              \
        COUNT(files);                                                                              \
        if (!target) {                                                                             \
            hot_path_pause();                                                                      \
            void *symbol = next(#name);                                                            \
            memcpy(&target, &symbol, sizeof symbol);                                               \
            hot_path_resume();                                                                     \
        }                                                                                          \
        return target arguments;                                                                   \
    }

FORWARD_OPEN(open, (const char *path, int flags, ...), flags, (path, flags, mode))
FORWARD_OPEN(open64, (const char *path, int flags, ...), flags, (path, flags, mode))
FORWARD_OPEN(openat, (int dir, const char *path, int flags, ...), flags, (dir, path, flags, mode))
FORWARD(ssize_t, read, (int fd, void *to, size_t n), (fd, to, n), files)
/* What _FORTIFY_SOURCE, some distributions' default, makes of a read whose buffer it cannot see. */
ssize_t __read_chk(int fd, void *to, size_t n, size_t room);
FORWARD(ssize_t, __read_chk, (int fd, void *to, size_t n, size_t room), (fd, to, n, room), files)
FORWARD(ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n), files)
FORWARD(ssize_t, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at), files)
FORWARD(ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at), files)
FORWARD(FILE *, fopen, (const char *path, const char *mode), (path, mode), files)
