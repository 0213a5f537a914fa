/*
 * The ConfigCache as a file: what tools and deployment scripts need, without an engine or a GPU.
 *
 * A file holds records (a tuning result for one problem on one SKU) and binaries (cubins, named by
 * the SHA-256 of their content). A record pins the binary that was measured. A handle is for one
 * thread at a time; any number of processes may have the same file open.
 */
#ifndef TFOPS_CACHE_H
#define TFOPS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tfops/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tfops_cache;

/*
 * Opens a cache file for reading. The file itself is neither created nor changed; beside it SQLite
 * makes <path>-shm and an empty <path>-wal where they are missing and the directory can be written, and
 * leaves them to the next writer, who removes them at its close. A file that an engine replaced because
 * it was damaged is opened in its newest generation (<path>.generation).
 *
 * TFOPS_E_UNKNOWN when it is not there; TFOPS_E_CACHE when it is not a tfops cache, newer than this
 * library, malformed, or not to be trusted (owner or mode of it or its directory, a link); TFOPS_E_IO;
 * TFOPS_E_BUSY; TFOPS_E_MEMORY; TFOPS_E_ARGUMENT, TFOPS_E_RANGE for a path that is none or too long;
 * TFOPS_E_FORKED when the parent of this process had a cache open at fork(). The calls below on a cache
 * give TFOPS_E_ARGUMENT, TFOPS_E_MEMORY, TFOPS_E_FORKED, and of the file TFOPS_E_CACHE, TFOPS_E_IO,
 * TFOPS_E_BUSY.
 */
enum tfops_status tfops_cache_open(const char *path, struct tfops_cache **ret_cache);
/* Opens for writing (prune). Creates no cache. TFOPS_E_BUSY also when this process has the file open as
 * a shipped one; TFOPS_E_IO when it cannot be written; else as tfops_cache_open(). */
enum tfops_status tfops_cache_open_writable(const char *path, struct tfops_cache **ret_cache);
void tfops_cache_close(struct tfops_cache *cache);

/*
 * Where the user's cache is by the rule of tfops_engine_options.cache_path; an empty variable counts as
 * unset, a relative XDG_CACHE_HOME or HOME too, and without HOME the password file is asked.
 * TFOPS_E_RANGE: it does not fit into `bytes`; TFOPS_E_UNKNOWN: there is no home directory;
 * TFOPS_E_ARGUMENT.
 */
enum tfops_status tfops_cache_default_path(char *ret_path, size_t bytes);

/* A tuning record. Times in nanoseconds of GPU time per launch. Strings live during the callback. */
struct tfops_record {
    size_t size;
    int64_t id;
    const char *sku; /* canonical text, e.g. "NVIDIA H200/cc90/132sm/60mb-l2/140gib/" */
    const char *op;
    uint32_t spec_version;
    const char *problem; /* static part: "hidden=4096 dtype=f16 … align=16" */
    int64_t extent;      /* measured dynamic extent */
    const char *config;  /* "VEC_BYTES=16 THREADS_PER_ROW=256 …" */
    uint8_t binary_sha256[32];
    double median_ns, low_ns, high_ns; /* 95% interval of the median */
    double default_ns;                 /* the default config's median in the same race */
    const char *runner_up;             /* config */
    double runner_up_ns;
    uint32_t samples;
    double error;         /* relative verification error */
    int32_t sm_clock_mhz; /* median during the measurement; 0 unknown */
    const char *driver, *nvrtc, *host, *tfops_version;
    const char *date; /* ISO 8601, UTC */
    bool revalidate;  /* measured with another driver than the newest one in the file for its SKU;
                             false in an engine, which compares with the driver it runs on */
    const char *provenance; /* JSON: everything else worth keeping (sweep summary, power limit …) */
};

struct tfops_binary {
    size_t size;
    uint8_t sha256[32];
    const char *op, *arch, *entry;
    const char *config;
    uint64_t bytes;
    uint32_t registers, spill_bytes, smem_static_bytes, threads, cluster, smem_bytes, param_bytes;
    const char *nvrtc, *date;
    bool pinned; /* a record names it */
    bool ok;     /* its content has the digest it is stored under */
};

/* Calls `fn` for each row in canonical order until it returns false. `op` and `sku` NULL: all. Rows
 * whose digest does not hold are left out: tfops_cache_verify() names them. */
enum tfops_status tfops_cache_each_record(struct tfops_cache *cache, const char *op,
    const char *sku, bool (*fn)(void *user, const struct tfops_record *record), void *user);
enum tfops_status tfops_cache_each_binary(struct tfops_cache *cache,
    bool (*fn)(void *user, const struct tfops_binary *binary), void *user);

struct tfops_cache_totals {
    size_t size;
    uint64_t records, binaries, binary_bytes, file_bytes, unpinned_binaries;
    uint32_t schema;
    uint64_t bad; /* set by tfops_cache_verify: rows that would be ignored */
};
enum tfops_status tfops_cache_totals(
    struct tfops_cache *cache, struct tfops_cache_totals *ret_totals);

/*
 * Checks every page, row and digest. `fn` (may be NULL) gets one line per bad row. TFOPS_OK when the
 * check itself could be done; ret_totals->bad says what it found.
 */
enum tfops_status tfops_cache_verify(struct tfops_cache *cache,
    void (*fn)(void *user, const char *problem), void *user, struct tfops_cache_totals *ret_totals);

/*
 * Binaries know no SKU: with `sku`, a binary goes when the last record that pinned it goes. Gives the
 * disk its space back when nobody else is using the file. Either result may be NULL.
 * TFOPS_E_ARGUMENT, TFOPS_E_RANGE (age), TFOPS_E_CACHE (opened for reading), TFOPS_E_BUSY, TFOPS_E_IO.
 */
struct tfops_prune_options {
    size_t size;
    const char *op, *sku; /* NULL: any */
    int64_t older_than_s; /* records and unpinned binaries at least this old; 0: any age */
    bool records;         /* also records; otherwise only binaries that no record pins */
    bool dry_run;
};
enum tfops_status tfops_cache_prune(struct tfops_cache *cache,
    const struct tfops_prune_options *options, uint64_t *ret_records, uint64_t *ret_binaries);

#ifdef __cplusplus
}
#endif
#endif
