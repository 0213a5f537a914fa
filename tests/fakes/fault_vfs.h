/*
 * A SQLite VFS that stands in front of the system's: fails the n-th call that does input or output,
 * and can refuse shared memory, as network file systems do. And a SQLite allocator that fails the
 * n-th allocation. Install before the first use of SQLite in the process.
 */
#ifndef TFOPS_TESTS_FAULT_VFS_H
#define TFOPS_TESTS_FAULT_VFS_H

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

static struct {
    long calls, fail_at; /* 0: none */
    int rc;              /* what the failing call returns */
    int sticky;          /* all calls after it fail too */
    int no_shm;
    sqlite3_vfs *real;
    sqlite3_mem_methods memory;
    long allocations, fail_allocation;
} fault;

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
};

static int fault_hit(void)
{
    fault.calls++;
    return fault.fail_at &&
           (fault.sticky ? fault.calls >= fault.fail_at : fault.calls == fault.fail_at);
}

#define FAULT_REAL(file) (((struct fault_file *)(file))->real)
#define FAULT_METHOD(file) (FAULT_REAL(file)->pMethods)

static int fault_close(sqlite3_file *f)
{
    return FAULT_METHOD(f)->xClose(FAULT_REAL(f));
}
static int fault_read(sqlite3_file *f, void *data, int n, sqlite3_int64 at)
{
    return fault_hit() ? SQLITE_IOERR_READ : FAULT_METHOD(f)->xRead(FAULT_REAL(f), data, n, at);
}
static int fault_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
    return fault_hit() ? fault.rc : FAULT_METHOD(f)->xWrite(FAULT_REAL(f), data, n, at);
}
static int fault_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    return fault_hit() ? SQLITE_IOERR_TRUNCATE : FAULT_METHOD(f)->xTruncate(FAULT_REAL(f), n);
}
static int fault_sync(sqlite3_file *f, int flags)
{
    return fault_hit() ? SQLITE_IOERR_FSYNC : FAULT_METHOD(f)->xSync(FAULT_REAL(f), flags);
}
static int fault_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return fault_hit() ? SQLITE_IOERR_FSTAT : FAULT_METHOD(f)->xFileSize(FAULT_REAL(f), n);
}
static int fault_lock(sqlite3_file *f, int level)
{
    return fault_hit() ? SQLITE_IOERR_LOCK : FAULT_METHOD(f)->xLock(FAULT_REAL(f), level);
}
static int fault_unlock(sqlite3_file *f, int level)
{
    return FAULT_METHOD(f)->xUnlock(FAULT_REAL(f), level);
}
static int fault_reserved(sqlite3_file *f, int *out)
{
    return FAULT_METHOD(f)->xCheckReservedLock(FAULT_REAL(f), out);
}
static int fault_control(sqlite3_file *f, int op, void *arg)
{
    return FAULT_METHOD(f)->xFileControl(FAULT_REAL(f), op, arg);
}
static int fault_sector(sqlite3_file *f)
{
    return FAULT_METHOD(f)->xSectorSize(FAULT_REAL(f));
}
static int fault_traits(sqlite3_file *f)
{
    return FAULT_METHOD(f)->xDeviceCharacteristics(FAULT_REAL(f));
}
static int fault_shm_map(sqlite3_file *f, int page, int bytes, int extend, void volatile **out)
{
    return fault_hit() ? SQLITE_IOERR_SHMMAP
                       : FAULT_METHOD(f)->xShmMap(FAULT_REAL(f), page, bytes, extend, out);
}
static int fault_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return FAULT_METHOD(f)->xShmLock(FAULT_REAL(f), offset, n, flags);
}
static void fault_shm_barrier(sqlite3_file *f)
{
    FAULT_METHOD(f)->xShmBarrier(FAULT_REAL(f));
}
static int fault_shm_unmap(sqlite3_file *f, int remove)
{
    return FAULT_METHOD(f)->xShmUnmap(FAULT_REAL(f), remove);
}

static int fault_open(
    sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *ret_flags)
{
    static sqlite3_io_methods methods = {2, fault_close, fault_read, fault_write, fault_truncate,
        fault_sync, fault_size, fault_lock, fault_unlock, fault_reserved, fault_control,
        fault_sector, fault_traits, fault_shm_map, fault_shm_lock, fault_shm_barrier,
        fault_shm_unmap, NULL, NULL};
    (void)vfs;
    struct fault_file *file = (struct fault_file *)f;
    file->base.pMethods = NULL;
    if (fault_hit())
        return SQLITE_CANTOPEN;
    file->real = (sqlite3_file *)(file + 1);
    int rc = fault.real->xOpen(fault.real, name, file->real, flags, ret_flags);
    if (file->real->pMethods) {
        methods.iVersion = fault.no_shm ? 1 : 2;
        file->base.pMethods = &methods;
    }
    return rc;
}

static int fault_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    return fault_hit() ? SQLITE_IOERR_DELETE : fault.real->xDelete(fault.real, name, sync);
}

static void fault_install(void)
{
    static sqlite3_vfs vfs;
    fault.real = sqlite3_vfs_find(NULL);
    fault.rc = SQLITE_IOERR_WRITE;
    vfs = *fault.real;
    vfs.zName = "fault";
    vfs.pNext = NULL;
    vfs.szOsFile = (int)sizeof(struct fault_file) + fault.real->szOsFile;
    vfs.xOpen = fault_open;
    vfs.xDelete = fault_delete;
    sqlite3_vfs_register(&vfs, 1);
}

/* Memory. */

static int fault_memory_hit(void)
{
    return ++fault.allocations == fault.fail_allocation;
}
static void *fault_malloc(int bytes)
{
    return fault_memory_hit() ? NULL : fault.memory.xMalloc(bytes);
}
static void *fault_realloc(void *memory, int bytes)
{
    return fault_memory_hit() ? NULL : fault.memory.xRealloc(memory, bytes);
}

static void fault_install_memory(void)
{
    sqlite3_mem_methods methods;
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &fault.memory);
    if (!fault.memory.xMalloc) { /* not initialised yet: ask for the default first */
        sqlite3_initialize();
        sqlite3_shutdown();
        sqlite3_config(SQLITE_CONFIG_GETMALLOC, &fault.memory);
    }
    methods = fault.memory;
    methods.xMalloc = fault_malloc;
    methods.xRealloc = fault_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0); /* else most allocations never get here */
}

#endif
