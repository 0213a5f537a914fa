/* What tests share (see test_support.h). */
#include "test_support.h"
#include "host_data.h"
#include "kernels/norm/norm_specs.h"
#include <dlfcn.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void give_up(const char *what, const char *subject)
{
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    fprintf(stderr, "support: %s %s: %s\n", what, subject ? subject : "", error.message);
    abort();
}

/* ---- files -------------------------------------------------------------------------------- */

const char *support_build_dir(void)
{
    const char *dir = getenv("TFOPS_BUILD");
    return dir && *dir ? dir : "build";
}

void support_fake_path(const char *name, char ret_path[SUPPORT_PATH_BYTES])
{
    char path[SUPPORT_PATH_BYTES];
    snprintf(path, sizeof path, "%s/fakes/lib%s.so", support_build_dir(), name);
    char *whole = realpath(path, NULL);
    snprintf(ret_path, SUPPORT_PATH_BYTES, "%s", whole ? whole : path);
    free(whole);
}

void support_dir_make_in(const char *root, char *ret_path, size_t bytes)
{
    const int length = snprintf(ret_path, bytes, "%s/tfops-test-XXXXXX", root);
    if (length < 0 || (size_t)length >= bytes || !mkdtemp(ret_path))
        give_up("cannot make a directory in", root);
}

void support_dir_make(char ret_path[SUPPORT_PATH_BYTES])
{
    const char *root = getenv("TMPDIR");
    support_dir_make_in(root && *root ? root : "/tmp", ret_path, SUPPORT_PATH_BYTES);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info, (void)type, (void)where;
    return remove(path);
}

void support_dir_remove(const char *path)
{
    if (path && strstr(path, "tfops-test-"))
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

char *support_file_read(const char *path)
{
    FILE *file = fopen(path, "rbe");
    char *text = NULL;
    size_t used = 0, n = 1;
    while (file && n > 0) {
        char *more = realloc(text, used + 4097);
        if (!more)
            give_up("no memory for", path);
        text = more;
        n = fread(text + used, 1, 4096, file);
        used += n;
        text[used] = '\0';
    }
    if (file)
        fclose(file);
    return text;
}

long long support_json_sum(const char *path, const char *name)
{
    char *text = support_file_read(path), key[128];
    long long sum = -1;
    snprintf(key, sizeof key, "\"%s\":", name);
    for (const char *at = text; at && (at = strstr(at, key)) != NULL;) {
        at += strlen(key);
        sum = (sum < 0 ? 0 : sum) + strtoll(at, NULL, 10);
    }
    free(text);
    return sum;
}

/* ---- engines ------------------------------------------------------------------------------ */

void support_use_fake_cuda(void)
{
    char path[SUPPORT_PATH_BYTES];
    support_fake_path("fake_cuda", path);
    setenv("TFOPS_LIBCUDA", path, 1);
}

void *support_fake_symbol(const char *name)
{
    char path[SUPPORT_PATH_BYTES];
    support_fake_path("fake_cuda", path);
    void *library = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    void *symbol = library ? dlsym(library, name) : NULL;
    if (library)
        dlclose(library);
    return symbol;
}

/* Any thread of an engine may log. */
static void keep_line(void *user, enum tfops_log_level level, const char *line)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct support_engine *engine = user;
    (void)level;
    pthread_mutex_lock(&lock);
    const int n = snprintf(
        engine->log + engine->log_bytes, sizeof engine->log - engine->log_bytes, "%s\n", line);
    engine->log_bytes += (size_t)n;
    if (engine->log_bytes >= sizeof engine->log)
        engine->log_bytes = sizeof engine->log - 1;
    pthread_mutex_unlock(&lock);
}

void support_engine_open(
    struct support_engine *engine, const char *device, const struct tfops_engine_options *options)
{
    struct tfops_engine_options all =
        options ? *options : (struct tfops_engine_options){.size = sizeof all};
    if (!engine->dir[0]) {
        support_dir_make(engine->dir);
        snprintf(engine->cache, sizeof engine->cache, "%s/cache.db", engine->dir);
    }
    engine->log_bytes = 0;
    engine->log[0] = '\0';
    all.device = device ? device : all.device ? all.device : "cuda:0";
    all.cache_path = all.cache_path ? all.cache_path : engine->cache;
    if (!all.log) {
        all.log = keep_line;
        all.log_user = engine;
    }
    if (tfops_engine_open(&all, &engine->engine) != TFOPS_OK)
        give_up("cannot open an engine on", all.device);
}

void support_engine_shut(struct support_engine *engine)
{
    tfops_engine_close(engine->engine);
    engine->engine = NULL;
}

void support_engine_close(struct support_engine *engine)
{
    support_engine_shut(engine);
    support_dir_remove(engine->dir);
    engine->dir[0] = '\0';
}

struct tfops_record support_record(
    const char *sku, const char *op, const char *problem, int64_t extent, const char *config)
{
    return (struct tfops_record){.size = sizeof(struct tfops_record),
        .sku = sku,
        .op = op,
        .spec_version = 1,
        .problem = problem,
        .extent = extent,
        .config = config,
        .median_ns = 1,
        .low_ns = 1,
        .high_ns = 1,
        .default_ns = 1,
        .runner_up = "",
        .samples = 1,
        .driver = "13.0",
        .nvrtc = "13.0",
        .host = "h",
        .tfops_version = "0.1.0",
        .date = "2026-01-01T00:00:00Z",
        .provenance = "{}"};
}

/* ---- GPU, NVRTC --------------------------------------------------------------------------- */

static struct tfops_platform platform(void)
{
    struct tfops_platform found = {.size = sizeof found};
    tfops_platform_query(NULL, NULL, &found);
    return found;
}

bool support_have_gpu(void)
{
    return platform().device_count > 0;
}

bool support_have_nvrtc(void)
{
    return platform().nvrtc_version > 0;
}

bool support_skip(const char *test, const char *what)
{
    const char *require = getenv("TFOPS_REQUIRE_GPU");
    if (require && strcmp(require, "1") == 0)
        return false;
    fprintf(stderr, "SKIP %s: no %s\n", test, what);
    return true;
}

/* ---- tensors ------------------------------------------------------------------------------ */

void support_tensor_make(struct support_tensor *tensor, struct tfops_engine *engine,
    const struct support_shape *shape, uint64_t seed)
{
    const int64_t rows = shape->rows ? shape->rows : 1;
    const int64_t stride = shape->stride ? shape->stride : shape->cols;
    const int64_t elems = shape->offset + (rows - 1) * stride + shape->cols;
    const size_t elem = tfops_dtype_bytes(shape->dtype);
    *tensor = (struct support_tensor){
        .bytes = (size_t)elems * elem, .offset = shape->offset * (int64_t)elem, .engine = engine};
    tensor->host = malloc(tensor->bytes);
    if (!tensor->host)
        give_up("no memory for", "a tensor");
    host_fill(tensor->host, shape->dtype, elems, seed);
    if (tfops_device_alloc(engine, tensor->bytes, &tensor->memory) != TFOPS_OK ||
        tfops_device_write(engine, tensor->memory, tensor->host, tensor->bytes) != TFOPS_OK)
        give_up("cannot make", "a tensor");
    tensor->tensor = tfops_tensor_contiguous((char *)tensor->memory + tensor->offset, shape->dtype,
        shape->rows ? 2 : 1,
        (const int64_t[]){shape->rows ? shape->rows : shape->cols, shape->cols});
    if (shape->rows)
        tensor->tensor.strides[0] = stride;
}

void *support_tensor_read(struct support_tensor *tensor)
{
    if (tfops_device_read(tensor->engine, tensor->host, tensor->memory, tensor->bytes) != TFOPS_OK)
        give_up("cannot read", "a tensor");
    return (char *)tensor->host + tensor->offset;
}

struct tfops_tensor support_tensor_on_host(const struct support_tensor *tensor)
{
    struct tfops_tensor described = tensor->tensor;
    described.data = (char *)tensor->host + tensor->offset;
    return described;
}

void support_tensor_free(struct support_tensor *tensor)
{
    if (tensor->memory)
        tfops_device_free(tensor->engine, tensor->memory);
    free(tensor->host);
    *tensor = (struct support_tensor){0};
}

void support_rmsnorm_make(struct support_rmsnorm *call, struct tfops_engine *engine,
    enum tfops_dtype dtype, int64_t rows, int64_t hidden)
{
    const struct support_shape matrix = {.dtype = dtype, .rows = rows, .cols = hidden};
    const struct support_shape vector = {.dtype = dtype, .cols = hidden};
    support_tensor_make(&call->x, engine, &matrix, 1);
    support_tensor_make(&call->out, engine, &matrix, 2);
    support_tensor_make(&call->weight, engine, &vector, 3);
    call->args = (struct tfops_args){.size = sizeof call->args,
        .operands = {[RMSNORM_X] = &call->x.tensor,
            [RMSNORM_WEIGHT] = &call->weight.tensor,
            [RMSNORM_OUT] = &call->out.tensor}};
}

void support_rmsnorm_free(struct support_rmsnorm *call)
{
    support_tensor_free(&call->x);
    support_tensor_free(&call->weight);
    support_tensor_free(&call->out);
}

/* ---- preloading --------------------------------------------------------------------------- */

bool support_preload(const char *name, char **argv)
{
    char path[SUPPORT_PATH_BYTES];
    const char *preloaded = getenv("LD_PRELOAD");
    support_fake_path(name, path);
    if (preloaded && strstr(preloaded, path))
        return true;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)argv;
    return false;
#else
    /* Valgrind replaces the very functions that a shim stands before. */
    if (access(path, R_OK) != 0 || (preloaded && strstr(preloaded, "vgpreload")))
        return false;
    setenv("LD_PRELOAD", path, 1);
    execv("/proc/self/exe", argv);
    return false;
#endif
}
