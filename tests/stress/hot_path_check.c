/*
 * Self-test of libhot_path_shim.so: does one of each thing between the marks and compares the
 * counts. Preloads the shim into itself; where it cannot exits 77 (skipped), with a wrong count 1.
 */
#include "tests/fakes/hot_path_shim.h"
#include "tests/support/test_support.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int sqlite3_step(void *statement);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static volatile uintptr_t sink; /* keeps malloc and free from being removed together */
static int failures;

static void check(const char *what, uint64_t counted, uint64_t expected)
{
    if (counted == expected)
        return;
    fprintf(stderr, "hot_path_check: %s: counted %llu, expected %llu\n", what,
        (unsigned long long)counted, (unsigned long long)expected);
    failures++;
}

static void use_memory(void)
{
    void *a = malloc(24), *b = calloc(1, 24);
    sink = (uintptr_t)a ^ (uintptr_t)b;
    a = realloc(a, 4096);
    sink ^= (uintptr_t)a;
    free(a);
    free(b);
}

static void use_locks(void)
{
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    pthread_rwlock_rdlock(&rwlock);
    pthread_rwlock_unlock(&rwlock);
    pthread_rwlock_wrlock(&rwlock);
    pthread_rwlock_unlock(&rwlock);
}

static void use_files(void)
{
    char byte = 0;
    const int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), out = open("/dev/null", O_WRONLY);
    if (read(fd, &byte, 1) != 1 || write(out, &byte, 1) != 1)
        failures++;
    close(fd);
    close(out);
}

static void *on_another_thread(void *unused)
{
    use_memory();
    use_locks();
    return unused;
}

int main(int argc, char **argv)
{
    struct hot_path_counts counts;
    (void)argc;
    if (!support_preload("hot_path_shim", argv) || !hot_path_begin) {
        printf("libhot_path_shim.so cannot be preloaded here\n");
        return 77;
    }
    hot_path_begin();
    hot_path_end(&counts);
    check("nothing",
        counts.allocations + counts.frees + counts.locks + counts.sqlite + counts.files, 0);

    hot_path_begin();
    use_memory();
    use_locks();
    sqlite3_step(NULL); /* SQLITE_MISUSE */
    use_files();
    hot_path_end(&counts);
    check("allocations", counts.allocations, 3);
    check("frees", counts.frees, 2);
    check("locks", counts.locks, 3);
    check("sqlite", counts.sqlite, 1);
    check("files", counts.files, 4);

    pthread_t thread;
    hot_path_begin();
    hot_path_pause();
    use_memory();
    if (pthread_create(&thread, NULL, on_another_thread, NULL) == 0)
        pthread_join(thread, NULL);
    hot_path_resume();
    hot_path_end(&counts);
    check("paused", counts.allocations + counts.frees + counts.locks, 0);

    use_memory();
    check("after the end", counts.allocations, 0);
    printf("hot_path_check: %s\n", failures ? "FAILED" : "ok");
    return failures != 0;
}
