/*
 * What tests share: where build outputs are, temporary directories, the fake driver, engines,
 * tensors made of tables. Compiled into test programs (test_support.c); links libtfops.
 *
 * Functions that "must" work print what failed and abort(): a test cannot go on without them.
 */
#ifndef TFOPS_TESTS_TEST_SUPPORT_H
#define TFOPS_TESTS_TEST_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tfops/tfops.h>

enum { SUPPORT_PATH_BYTES = 512 };

/* ---- files -------------------------------------------------------------------------------- */

/* $TFOPS_BUILD, else "build". */
const char *support_build_dir(void);
/* "<build>/fakes/lib<name>.so", absolute where it exists. */
void support_fake_path(const char *name, char ret_path[SUPPORT_PATH_BYTES]);
/* Makes a new directory (0700) under $TMPDIR or /tmp. */
void support_dir_make(char ret_path[SUPPORT_PATH_BYTES]);
/* The like under `root`, of at most `bytes` with its end. */
void support_dir_make_in(const char *root, char *ret_path, size_t bytes);
/* Removes it with everything in it. */
void support_dir_remove(const char *path);
/* Whole file, terminated, malloc'ed; NULL when it cannot be read. */
char *support_file_read(const char *path);
/* The last number behind "name": in a file of JSON lines, summed over lines; -1: not there. */
long long support_json_sum(const char *path, const char *name);

/* ---- engines ------------------------------------------------------------------------------ */

/* Sets TFOPS_LIBCUDA to libfake_cuda.so for this process and its children. */
void support_use_fake_cuda(void);
/* A function of the fake driver in this process ("fake_cuda_counter"); NULL: it is not loaded. */
void *support_fake_symbol(const char *name);

/* An engine with a log that can be read and a cache in a directory of its own. */
struct support_engine {
    struct tfops_engine *engine;
    char dir[SUPPORT_PATH_BYTES]; /* removed by support_engine_close */
    char cache[SUPPORT_PATH_BYTES + 16];
    char log[16384]; /* lines, cut at the end */
    size_t log_bytes;
};
/* device NULL: "cuda:0". options NULL: defaults; its device, cache_path, log where NULL are filled
 * in. Must work. */
void support_engine_open(
    struct support_engine *engine, const char *device, const struct tfops_engine_options *options);
/* Closes the engine, keeps the directory: for a second open of the same cache. */
void support_engine_shut(struct support_engine *engine);
void support_engine_close(struct support_engine *engine);

/* A tuning record with the same measurements every time. It keeps the strings it is given. */
struct tfops_record support_record(
    const char *sku, const char *op, const char *problem, int64_t extent, const char *config);

/* ---- GPU, NVRTC --------------------------------------------------------------------------- */

bool support_have_gpu(void); /* with the driver that TFOPS_LIBCUDA names, if any */
bool support_have_nvrtc(void);
/*
 * Says on stderr that `test` is skipped for want of `what`, one line that starts with SKIP, and
 * returns true. With TFOPS_REQUIRE_GPU=1 returns false: the test must fail instead.
 */
bool support_skip(const char *test, const char *what);

/* For Criterion: include criterion first. */
#define SUPPORT_NEEDS(have, what)                                                                  \
    do {                                                                                           \
        if (!(have)) {                                                                             \
            if (!support_skip(__func__, what))                                                     \
                cr_assert_fail("no %s, and TFOPS_REQUIRE_GPU is set", what);                       \
            cr_skip_test("no %s", what);                                                           \
        }                                                                                          \
    } while (0)
#define SUPPORT_NEEDS_GPU() SUPPORT_NEEDS(support_have_gpu(), "GPU")
#define SUPPORT_NEEDS_NVRTC() SUPPORT_NEEDS(support_have_nvrtc(), "NVRTC")

/* ---- tensors ------------------------------------------------------------------------------ */

/* A row of a table of cases. */
struct support_shape {
    enum tfops_dtype dtype;
    int64_t rows, cols; /* rows 0 with rank 1 below: a vector */
    int64_t stride;     /* elements between rows; 0: cols */
    int64_t offset; /* elements between the allocation's start and the data: alignment classes */
};

/* A tensor in an engine's memory with its copy on the host. */
struct support_tensor {
    struct tfops_tensor tensor;
    void *memory, *host;
    size_t bytes;
    int64_t offset; /* bytes */
    struct tfops_engine *engine;
};

/* Random in [-1, 1) from the seed (host_data.h). Rank 2, or 1 where rows is 0. Must work. */
void support_tensor_make(struct support_tensor *tensor, struct tfops_engine *engine,
    const struct support_shape *shape, uint64_t seed);
/* Device → host copy; the address of element 0 on the host. Must work. */
void *support_tensor_read(struct support_tensor *tensor);
/* The tensor described over the host copy, for the cpu device. */
struct tfops_tensor support_tensor_on_host(const struct support_tensor *tensor);
void support_tensor_free(struct support_tensor *tensor);

/* The operands of rmsnorm and the arguments that hold them. Must work. */
struct support_rmsnorm {
    struct support_tensor x, weight, out;
    struct tfops_args args;
};
void support_rmsnorm_make(struct support_rmsnorm *call, struct tfops_engine *engine,
    enum tfops_dtype dtype, int64_t rows, int64_t hidden);
void support_rmsnorm_free(struct support_rmsnorm *call);

/* ---- preloading --------------------------------------------------------------------------- */

/* Starts this program again under LD_PRELOAD=lib<name>.so, unless it is already there. For a plain
 * main(), as its first line. Returns false where the shim cannot be had (a sanitizer build). */
bool support_preload(const char *name, char **argv);

#endif
