/*
 * The engine: one device, its operators, its caches and its loaded kernels.
 *
 * Threads: an engine may be used from any number of threads at once. After fork() every call in the
 * child returns TFOPS_E_FORKED and touches neither CUDA nor SQLite.
 */
#ifndef TFOPS_ENGINE_H
#define TFOPS_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tfops/spec.h>
#include <tfops/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tfops_engine;

/* What a launch does for a key that nothing was prepared for. */
enum tfops_miss_policy {
    TFOPS_MISS_GENERIC = 0, /* launch the generic variant, count, log once; never compile inline */
    TFOPS_MISS_COMPILE,     /* compile the recorded or default config inline (never in a capture) */
    TFOPS_MISS_STRICT,      /* TFOPS_E_COLD */
};

/* Unload modules at close; default: they stay loaded, so that captured graphs survive */
#define TFOPS_ENGINE_UNLOAD_AT_CLOSE 1u
/* Never write the user's cache file. */
#define TFOPS_ENGINE_READ_ONLY 2u

struct tfops_engine_options {
    size_t size;
    /* "cuda:0" … "cuda:N", "cpu", "arch:sm_90a" (compiles for it, cannot launch), or NULL: cuda:0
     * where libcuda finds a GPU, else cpu. */
    const char *device;
    /* The user's cache file. NULL: $TFOPS_CACHE, else $XDG_CACHE_HOME/tfops/cache.db, else
     * ~/.cache/tfops/cache.db. "": no file, nothing is remembered. */
    const char *cache_path;
    /* Shipped read-only files under the user's, nearest first. */
    const char *const *shipped_paths;
    size_t n_shipped;
    enum tfops_miss_policy miss_policy;
    uint32_t flags;
    const char *driver_path; /* libcuda; NULL: $TFOPS_LIBCUDA, else libcuda.so.1 */
    /* NVRTC; NULL: $TFOPS_LIBNVRTC, else libnvrtc.so.N, N from the driver's major version (without a
     * driver from 20) down to 12: one that is loaded already, else one that the loader finds; else
     * /usr/local/cuda's, else the one of the build. Never one newer than the driver. */
    const char *nvrtc_path;
    const char *worker_path; /* tfops-worker; NULL: $TFOPS_WORKER, else beside the library */
    const char *const *plugin_paths; /* shared objects whose operators are added at open */
    size_t n_plugins;
    tfops_log_fn log; /* NULL: silent */
    void *log_user;
    /* Host allocator; both NULL: malloc and free. `alloc` returns memory aligned for any type. */
    void *(*alloc)(void *user, size_t bytes);
    void (*free)(void *user, void *memory);
    void *alloc_user;
};

/*
 * Opens an engine. Retains the device's primary context (never resets or synchronises it), loads the
 * generic variants, opens the caches; a cache that cannot be used is logged and left out.
 * options: NULL means all defaults. Owns nothing of it after return.
 * Errors: TFOPS_E_ARGUMENT, TFOPS_E_UNKNOWN (device name), TFOPS_E_DRIVER, TFOPS_E_MEMORY,
 * TFOPS_E_ABI (plug-in), TFOPS_E_RANGE (more plug-ins or operators than there is room for),
 * TFOPS_E_FORKED.
 */
enum tfops_status tfops_engine_open(
    const struct tfops_engine_options *options, struct tfops_engine **ret_engine);

/* Closes; NULL is fine. Plans still held stay valid memory but must not be launched any more. */
void tfops_engine_close(struct tfops_engine *engine);

/* The device; valid as long as the engine. */
const struct tfops_device *tfops_engine_device(const struct tfops_engine *engine);

/*
 * Adds an operator, from any thread; it can be found when the call returns, its generic variant
 * loaded. The spec's tables are copied; its callbacks and `user` must outlive the engine.
 * TFOPS_E_ABI for another ABI or a spec that contradicts itself (the record names the field),
 * TFOPS_E_ARGUMENT when the name is taken, TFOPS_E_RANGE when there is no room for one more,
 * TFOPS_E_MEMORY, TFOPS_E_FORKED. A generic variant that cannot be had is a line in the log.
 */
enum tfops_status tfops_engine_register(struct tfops_engine *engine, const struct tfops_spec *spec);

/* The operator of that name, NULL when there is none; valid as long as the engine. */
const struct tfops_spec *tfops_engine_operator(const struct tfops_engine *engine, const char *name);
/* How many operators there are, and the i-th (NULL beyond the end). */
size_t tfops_engine_operator_count(const struct tfops_engine *engine);
const struct tfops_spec *tfops_engine_operator_at(const struct tfops_engine *engine, size_t i);

/*
 * Prepares problems ahead (records, binaries, modules), so that their launches hit. Compiles what is
 * missing where NVRTC is there. Goes on after a failure; returns the first one: those of
 * tfops_prepare().
 */
enum tfops_status tfops_engine_warm(
    struct tfops_engine *engine, const struct tfops_problem *problems, size_t n_problems);

struct tfops_engine_stats {
    size_t size;
    uint64_t hits;           /* launches that found their plan; counted by prepare and warm paths,
                                 not by tfops_plan_launch */
    uint64_t misses_unseen;  /* look-ups of a key not prepared before */
    uint64_t misses_record;  /* prepared without any record: the default config was taken */
    uint64_t misses_binary;  /* binary not in any cache layer */
    uint64_t misses_capture; /* refused because the stream was capturing */
    uint64_t generic_plans;  /* keys served by the generic variant */
    uint64_t compiles, compile_failures;
    uint64_t module_loads;
    uint64_t cache_bad_rows; /* rows ignored for a bad digest or ABI */
    uint64_t device_bytes;   /* memory of loaded modules, from the binaries' sizes */
    uint64_t plans;          /* keys in the plan map */
    uint64_t open_ns;        /* time of tfops_engine_open */
};
/* TFOPS_E_ARGUMENT, TFOPS_E_FORKED. */
enum tfops_status tfops_engine_stats(
    const struct tfops_engine *engine, struct tfops_engine_stats *ret_stats);

/*
 * A digest over the effective records of this engine's device (key, config, pinned binary), so that
 * ranks of one job can compare: equal digests choose equal kernels. 32 bytes. Reads the caches.
 * TFOPS_E_ARGUMENT, TFOPS_E_MEMORY, TFOPS_E_FORKED; a cache that cannot be read counts as empty.
 */
enum tfops_status tfops_engine_fingerprint(
    const struct tfops_engine *engine, uint8_t ret_digest[32]);

/* ---- the platform, without an engine --------------------------------------------------------- */

struct tfops_platform {
    size_t size;
    char driver_path[256];
    int32_t driver_version; /* CUDA version, e.g. 13000; 0: no libcuda */
    char nvrtc_path[256];
    int32_t nvrtc_version; /* 0: none */
    bool nvml;
    int32_t device_count;
    char message[256]; /* why something is absent; "" when nothing is */
};
/* What this host has. Paths as in tfops_engine_options. Absence is not an error, only an argument is:
 * TFOPS_E_ARGUMENT. */
enum tfops_status tfops_platform_query(
    const char *driver_path, const char *nvrtc_path, struct tfops_platform *ret_platform);
/* TFOPS_E_ARGUMENT; TFOPS_E_DRIVER; TFOPS_E_UNKNOWN: there is no device of that index. The size of
 * *ret_device is set, not read. */
enum tfops_status tfops_platform_device(
    const char *driver_path, int32_t index, struct tfops_device *ret_device);

/* The architectures every operator has an answer for: "sm_80" … "sm_120a". */
size_t tfops_arch_count(void);
const char *tfops_arch_name(size_t i); /* NULL beyond the end */

/* ---- memory of the engine's device, for tools and tests -------------------------------------- */

/*
 * Device memory on a CUDA engine, host memory on the cpu device. Copies block. Launches never
 * allocate: these are conveniences for programs that have no allocator of their own.
 * TFOPS_E_ARGUMENT for what is NULL; TFOPS_E_MEMORY; TFOPS_E_DRIVER: the driver failed, of which
 * earlier work may be the culprit, or the engine only compiles; TFOPS_E_FORKED.
 */
enum tfops_status tfops_device_alloc(struct tfops_engine *engine, size_t bytes, void **ret_memory);
void tfops_device_free(struct tfops_engine *engine, void *memory);
enum tfops_status tfops_device_write(
    struct tfops_engine *engine, void *to, const void *from, size_t bytes);
enum tfops_status tfops_device_read(
    struct tfops_engine *engine, void *to, const void *from, size_t bytes);
/* Waits for the legacy default stream. */
enum tfops_status tfops_device_synchronize(struct tfops_engine *engine);

/* ---- configs as text ------------------------------------------------------------------------ */

/* "VEC_BYTES=16 THREADS_PER_ROW=256 …", cut at `bytes`; returns the full length. "generic" for that one. */
size_t tfops_config_format(
    const struct tfops_spec *spec, const struct tfops_config *config, char *ret_text, size_t bytes);
/* Sets the tunables named in "K=V K=V" or "K=V,K=V", starting from *config. TFOPS_E_UNKNOWN names
 * the tunable, TFOPS_E_RANGE a value that is not in its table. */
enum tfops_status tfops_config_parse(
    const struct tfops_spec *spec, const char *text, struct tfops_config *config);

#ifdef __cplusplus
}
#endif
#endif
