/*
 * cuBLASLt as a peer (see peer.h). Its matrices are column-major: out [m, n] is to it an n x m matrix,
 * the product of weight (transposed) and x. The few constants and structs of cublasLt.h that are used
 * stand here, so that no CUDA library is needed to build.
 */
#include "base/error.h"
#include "base/mem.h"
#include "kernels/gemm/gemm_params.h"
#include "kernels/gemm/gemm_specs.h"
#include "peer.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KERNELS = 32, WORKSPACE_BYTES = 64 << 20 };

/* cublasLt.h, cublas_api.h, library_types.h */
enum { COMPUTE_32F = 68, R_32F = 0, R_16F = 2, R_16BF = 14, R_8F_E4M3 = 28, R_8F_E5M2 = 29 };
enum { TRANSPOSED = 1 };
enum {
    DESC_TRANSA = 3,
    DESC_EPILOGUE = 7,
    DESC_BIAS_POINTER = 8,
    DESC_A_SCALE_POINTER = 17,
    DESC_B_SCALE_POINTER = 18,
    DESC_FAST_ACCUM = 25,
    DESC_BIAS_DATA_TYPE = 26,
    DESC_A_SCALE_MODE = 31,
    DESC_B_SCALE_MODE = 32,
};
enum { EPILOGUE_DEFAULT = 1, EPILOGUE_RELU = 2, EPILOGUE_BIAS = 4 };
enum { SCALE_OUTER_VECTOR = 3, SCALE_GROUP = 4, SCALE_BLOCK = 5 };
enum { PREFERENCE_WORKSPACE_BYTES = 1 };

struct algorithm {
    uint64_t data[8];
};
struct heuristic {
    struct algorithm algorithm;
    size_t workspace_bytes;
    int state;
    float waves;
    int reserved[4];
};

/* Handle types are opaque pointers in the library. */
#define FUNCTIONS(X)                                                                               \
    X(create, "cublasLtCreate", (void **handle))                                                   \
    X(destroy, "cublasLtDestroy", (void *handle))                                                  \
    X(desc_create, "cublasLtMatmulDescCreate", (void **desc, int compute, int scale))              \
    X(desc_destroy, "cublasLtMatmulDescDestroy", (void *desc))                                     \
    X(desc_set, "cublasLtMatmulDescSetAttribute",                                                  \
        (void *desc, int attribute, const void *value, size_t bytes))                              \
    X(layout_create, "cublasLtMatrixLayoutCreate",                                                 \
        (void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld))                       \
    X(layout_destroy, "cublasLtMatrixLayoutDestroy", (void *layout))                               \
    X(preference_create, "cublasLtMatmulPreferenceCreate", (void **preference))                    \
    X(preference_destroy, "cublasLtMatmulPreferenceDestroy", (void *preference))                   \
    X(preference_set, "cublasLtMatmulPreferenceSetAttribute",                                      \
        (void *preference, int attribute, const void *value, size_t bytes))                        \
    X(heuristics, "cublasLtMatmulAlgoGetHeuristic",                                                \
        (void *handle, void *desc, void *a, void *b, void *c, void *d, void *preference,           \
            int requested, struct heuristic *results, int *ret_count))                             \
    X(matmul, "cublasLtMatmul",                                                                    \
        (void *handle, void *desc, const void *alpha, const void *a, void *a_layout,               \
            const void *b, void *b_layout, const void *beta, const void *c, void *c_layout,        \
            void *d, void *d_layout, const struct algorithm *algorithm, void *workspace,           \
            size_t workspace_bytes, CUstream stream))

struct peer {
    const struct gpu *gpu;
    void *library;
#define FIELD(field, symbol, parameters) int(*field) parameters;
    FUNCTIONS(FIELD)
#undef FIELD
    int scaling; /* of gemm_params.h */
    bool bias, scaled;
    void *handle, *desc, *preference, *weight, *x, *out;
    CUdeviceptr workspace, factors; /* factors: scales and bias of ones, aligned as it wants them */
    int n_kernels;
    struct heuristic kernels[MAX_KERNELS];
};

static enum tfops_status refuse(const struct tfops_problem *problem, const char *rule)
{
    return error_set(TFOPS_E_UNSUPPORTED, "peer", problem->spec->name, rule, NULL);
}

static enum tfops_status check(int status, const char *call)
{
    return status ? error_setf(TFOPS_E_DRIVER, status, "peer", call, "status %d", status)
                  : TFOPS_OK;
}

/* ---- the library ----------------------------------------------------------------------------- */

static enum tfops_status load(struct peer *peer, const struct tfops_problem *problem)
{
    static const char *const NAMES[] = {"libcublasLt.so", "libcublasLt.so.13", "libcublasLt.so.12"};
    const char *own = getenv("TFOPS_LIBCUBLASLT");
    if (own && *own)
        peer->library = dlopen(own, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    for (size_t i = 0; !(own && *own) && i < sizeof NAMES / sizeof NAMES[0] && !peer->library; i++)
        peer->library = dlopen(NAMES[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!peer->library)
        return error_set(TFOPS_E_UNSUPPORTED, "peer", problem->spec->name,
            "libcublasLt.so, .so.13 or .so.12 where the loader finds it, or $TFOPS_LIBCUBLASLT",
            own);
    void *address;
#define RESOLVE(field, symbol, parameters)                                                         \
    address = dlsym(peer->library, symbol);                                                        \
    memcpy(&peer->field, &address, sizeof address);                                                \
    if (!address)                                                                                  \
        return refuse(problem, "a libcublasLt with " symbol);
    FUNCTIONS(RESOLVE)
#undef RESOLVE
    return TFOPS_OK;
}

static int type_of(enum tfops_dtype dtype)
{
    static const int TYPES[TFOPS_DTYPE_COUNT] = {[TFOPS_F32] = R_32F,
        [TFOPS_F16] = R_16F,
        [TFOPS_BF16] = R_16BF,
        [TFOPS_E4M3] = R_8F_E4M3,
        [TFOPS_E5M2] = R_8F_E5M2};
    return TYPES[dtype];
}

/* ---- the product ----------------------------------------------------------------------------- */

static int set_int(struct peer *peer, int attribute, int value)
{
    return peer->desc_set(peer->desc, attribute, &value, sizeof value);
}

/* What shares a scale, by scaling; that of a tensor is what it assumes. */
static const int WEIGHT_MODES[] = {0, SCALE_OUTER_VECTOR, SCALE_BLOCK};
static const int X_MODES[] = {0, SCALE_OUTER_VECTOR, SCALE_GROUP};

static int describe_product(struct peer *peer, const struct tfops_problem *problem)
{
    const bool relu = problem->options[GEMM_ACTIVATION] == GEMM_RELU;
    const bool told = peer->scaled && peer->scaling != GEMM_PER_TENSOR;
    int epilogue = (relu ? EPILOGUE_RELU : 0) | (peer->bias ? EPILOGUE_BIAS : 0);
    int result = peer->desc_create(&peer->desc, COMPUTE_32F, R_32F);
    if (!result)
        result = set_int(peer, DESC_TRANSA, TRANSPOSED);
    if (!result)
        result = set_int(peer, DESC_EPILOGUE, epilogue ? epilogue : EPILOGUE_DEFAULT);
    if (!result && peer->bias)
        result = set_int(
            peer, DESC_BIAS_DATA_TYPE, type_of((enum tfops_dtype)problem->dtypes[GEMM_OUT_DTYPE]));
    if (!result && told)
        result = set_int(peer, DESC_A_SCALE_MODE, WEIGHT_MODES[peer->scaling]);
    if (!result && told)
        result = set_int(peer, DESC_B_SCALE_MODE, X_MODES[peer->scaling]);
    if (!result && peer->scaled) {
        const int8_t fast = (int8_t)problem->options[GEMM_FAST_ACCUM];
        result = peer->desc_set(peer->desc, DESC_FAST_ACCUM, &fast, sizeof fast);
    }
    return result;
}

static int describe_matrices(struct peer *peer, const struct tfops_problem *problem)
{
    const int64_t *dims = problem->dims;
    const uint64_t m = (uint64_t)dims[GEMM_M], n = (uint64_t)dims[GEMM_N];
    const uint64_t k = (uint64_t)dims[GEMM_K];
    int x = type_of((enum tfops_dtype)problem->dtypes[GEMM_DTYPE]);
    int out = type_of((enum tfops_dtype)problem->dtypes[GEMM_OUT_DTYPE]);
    int result =
        peer->layout_create(&peer->weight, type_of(gemm_weight_dtype(problem)), k, n, dims[GEMM_K]);
    if (!result)
        result = peer->layout_create(&peer->x, x, k, m, dims[GEMM_K]);
    if (!result)
        result = peer->layout_create(&peer->out, out, n, m, dims[GEMM_N]);
    return result;
}

static int point(struct peer *peer)
{
    const void *factors = (const void *)(uintptr_t)peer->factors;
    int result = 0;
    if (peer->bias)
        result = peer->desc_set(peer->desc, DESC_BIAS_POINTER, &factors, sizeof factors);
    if (!result && peer->scaled)
        result = peer->desc_set(peer->desc, DESC_A_SCALE_POINTER, &factors, sizeof factors);
    if (!result && peer->scaled)
        result = peer->desc_set(peer->desc, DESC_B_SCALE_POINTER, &factors, sizeof factors);
    return result;
}

static enum tfops_status make_factors(struct peer *peer, const struct tfops_problem *problem)
{
    const int64_t *dims = problem->dims;
    const size_t groups = (size_t)(peer->scaling == GEMM_PER_BLOCK ? dims[GEMM_K] / 128 + 4 : 1);
    const size_t n = (size_t)(dims[GEMM_M] > dims[GEMM_N] ? dims[GEMM_M] : dims[GEMM_N]) * groups;
    const struct gpu_values ones = {.offset = 1};
    enum tfops_status status = gpu_alloc(peer->gpu, n * sizeof(float), &peer->factors);
    return status ? status : gpu_fill(peer->gpu, peer->factors, TFOPS_F32, n, &ones);
}

static enum tfops_status find_kernels(struct peer *peer, const struct tfops_problem *problem)
{
    const size_t workspace_bytes = WORKSPACE_BYTES;
    int result = point(peer);
    if (!result)
        result = peer->preference_create(&peer->preference);
    if (!result)
        result = peer->preference_set(
            peer->preference, PREFERENCE_WORKSPACE_BYTES, &workspace_bytes, sizeof workspace_bytes);
    if (!result)
        result = peer->heuristics(peer->handle, peer->desc, peer->weight, peer->x, peer->out,
            peer->out, peer->preference, MAX_KERNELS, peer->kernels, &peer->n_kernels);
    if (result || !peer->n_kernels)
        return refuse(problem, "a problem that cublasLtMatmulAlgoGetHeuristic has an answer for");
    return TFOPS_OK;
}

static enum tfops_status prepare(struct peer *peer, const struct tfops_problem *problem)
{
    enum tfops_status status = load(peer, problem);
    if (!status)
        status = gpu_alloc(peer->gpu, WORKSPACE_BYTES, &peer->workspace);
    if (!status)
        status = make_factors(peer, problem);
    if (!status)
        status = check(peer->create(&peer->handle), "cublasLtCreate");
    if (!status)
        status = check(describe_product(peer, problem), "cublasLtMatmulDescSetAttribute");
    if (!status)
        status = check(describe_matrices(peer, problem), "cublasLtMatrixLayoutCreate");
    return status ? status : find_kernels(peer, problem);
}

enum tfops_status peer_open(const char *name, const struct gpu *gpu,
    const struct tfops_problem *problem, struct peer **ret_peer)
{
    const struct tfops_spec *spec = problem->spec;
    if (strcmp(name, "cublaslt") != 0)
        return error_set(TFOPS_E_UNKNOWN, "peer", name, "cublaslt", NULL);
    if (spec->pack != linear_spec.pack)
        return refuse(problem, "linear or fp8_gemm");
    if (problem->present >> GEMM_RESIDUAL & 1 || problem->options[GEMM_ACTIVATION] > GEMM_RELU)
        return refuse(problem, "no residual, and no activation but relu");
    struct peer *peer = mem_new(gpu->env, 1, sizeof *peer);
    if (!peer)
        return TFOPS_E_MEMORY;
    peer->gpu = gpu;
    peer->scaling = gemm_scaling(problem);
    peer->scaled = peer->scaling != GEMM_UNSCALED;
    peer->bias = problem->present >> GEMM_BIAS & 1;
    enum tfops_status status = prepare(peer, problem);
    if (status)
        peer_close(peer);
    else
        *ret_peer = peer;
    return status;
}

void peer_close(struct peer *peer)
{
    if (!peer)
        return;
    const struct env *env = peer->gpu->env;
    void *const layouts[] = {peer->weight, peer->x, peer->out};
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
        if (layouts[i])
            peer->layout_destroy(layouts[i]);
    if (peer->preference)
        peer->preference_destroy(peer->preference);
    if (peer->desc)
        peer->desc_destroy(peer->desc);
    if (peer->handle)
        peer->destroy(peer->handle);
    gpu_free(peer->gpu, &peer->workspace);
    gpu_free(peer->gpu, &peer->factors);
    if (peer->library)
        dlclose(peer->library);
    mem_free(env, peer);
}

uint32_t peer_count(const struct peer *peer)
{
    return (uint32_t)peer->n_kernels;
}

enum tfops_status peer_enqueue(
    struct peer *peer, uint32_t kernel, const struct tfops_view *operands)
{
    const float one = 1, zero = 0;
    int result = peer->matmul(peer->handle, peer->desc, &one, operands[GEMM_WEIGHT].data,
        peer->weight, operands[GEMM_X].data, peer->x, &zero, operands[GEMM_OUT].data, peer->out,
        operands[GEMM_OUT].data, peer->out, &peer->kernels[kernel].algorithm,
        (void *)(uintptr_t)peer->workspace, WORKSPACE_BYTES, peer->gpu->stream);
    return check(result, "cublasLtMatmul");
}
