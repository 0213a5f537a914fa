/*
 * Operators on the cpu device in tests: a spec by its reference alone, with requests validated as
 * any launch's are. A spec that has no template yet gets a name and callbacks for it that no test
 * here uses. Include criterion first.
 */
#ifndef TFOPS_TESTS_REFERENCE_H
#define TFOPS_TESTS_REFERENCE_H

#include "expect.h"
#include "host_data.h"
#include <tfops/tfops.h>

struct reference {
    struct tfops_engine *engine;
    const struct tfops_spec *spec;
};

static inline void reference_geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry)
{
    (void)user, (void)problem, (void)device, (void)config;
    *ret_geometry = (struct tfops_geometry){.threads = 32, .min_blocks = 1, .cluster = 1};
}

static inline void reference_pack(
    void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user, (void)launch;
    *(char *)ret_params = 0;
}

static inline void reference_open(struct reference *reference, const struct tfops_spec *spec)
{
    const struct tfops_engine_options options = {.size = sizeof options, .device = "cpu"};
    EXPECT_OK(tfops_engine_open(&options, &reference->engine));
    if (!tfops_engine_operator(reference->engine, spec->name)) {
        struct tfops_spec completed = *spec;
        completed.template_path = completed.body = completed.params_type = "none";
        completed.param_bytes = 1;
        completed.geometry = reference_geometry;
        completed.pack = reference_pack;
        EXPECT_OK(tfops_engine_register(reference->engine, &completed));
    }
    reference->spec = tfops_engine_operator(reference->engine, spec->name);
}

static inline enum tfops_status reference_launch(
    const struct reference *reference, const struct tfops_args *args)
{
    return tfops_launch(reference->engine, reference->spec, args, NULL);
}

static inline void reference_close(struct reference *reference)
{
    tfops_engine_close(reference->engine);
}

/* ---- matrices ------------------------------------------------------------------------------- */

/* Elements of any dtype with the tensor that describes them; what lies between rows is 0x5a. A copy
 * is a snapshot of the elements: its tensor still describes the original. */
struct matrix {
    struct tfops_tensor tensor;
    _Alignas(16) unsigned char bytes[1 << 16];
};

static inline void matrix_make(
    struct matrix *matrix, enum tfops_dtype dtype, int64_t rows, int64_t cols, int64_t stride)
{
    memset(matrix->bytes, 0x5a, sizeof matrix->bytes);
    const int64_t shape[] = {rows, cols};
    matrix->tensor = tfops_tensor_contiguous(matrix->bytes, dtype, 2, shape);
    matrix->tensor.strides[0] = stride ? stride : cols;
    cr_assert_leq((size_t)(rows * matrix->tensor.strides[0]) * tfops_dtype_bytes(dtype),
        sizeof matrix->bytes);
}

static inline void matrix_make_vector(struct matrix *matrix, enum tfops_dtype dtype, int64_t cols)
{
    matrix_make(matrix, dtype, 1, cols, cols);
    matrix->tensor.rank = 1;
    matrix->tensor.shape[0] = cols;
    matrix->tensor.strides[0] = 1;
}

static inline int64_t matrix_index(const struct matrix *matrix, int64_t row, int64_t col)
{
    return matrix->tensor.rank == 1 ? col : row * matrix->tensor.strides[0] + col;
}

static inline double matrix_get(const struct matrix *matrix, int64_t row, int64_t col)
{
    return (double)host_load(matrix->bytes, matrix->tensor.dtype, matrix_index(matrix, row, col));
}

static inline void matrix_set(struct matrix *matrix, int64_t row, int64_t col, double value)
{
    host_store(matrix->bytes, matrix->tensor.dtype, matrix_index(matrix, row, col), (float)value);
}

/* Random in [-1, 1) times `scale` in every element, gaps left alone. */
static inline void matrix_fill(struct matrix *matrix, uint64_t seed, double scale)
{
    const struct tfops_tensor *tensor = &matrix->tensor;
    const int64_t rows = tensor->rank == 1 ? 1 : tensor->shape[0];
    for (int64_t row = 0; row < rows; row++)
        for (int64_t col = 0; col < tensor->shape[tensor->rank - 1]; col++) {
            const float unit = (float)(host_random(&seed) >> 40) * 0x1p-23f - 1;
            matrix_set(matrix, row, col, (double)unit * scale);
        }
}

/* Every byte between and behind rows is as matrix_make() left it. */
static inline void matrix_expect_gaps(const struct matrix *matrix)
{
    const struct tfops_tensor *tensor = &matrix->tensor;
    const size_t elem = tfops_dtype_bytes(tensor->dtype);
    const size_t stride = (size_t)tensor->strides[0] * elem, used = (size_t)tensor->shape[1] * elem;
    const size_t rows = (size_t)tensor->shape[0];
    for (size_t i = 0; i < sizeof matrix->bytes; i++)
        if (i / stride >= rows || i % stride >= used)
            cr_assert_eq(matrix->bytes[i], 0x5a, "byte %zu was written", i);
}

/* `got` is `want` after one rounding to the dtype, or a neighbour where `want` is inexact itself. */
static inline void expect_rounded(double got, long double want, enum tfops_dtype dtype,
    const char *what, int64_t row, int64_t col)
{
    static const long double UNIT[] = {
        [TFOPS_F32] = 0x1p-24L, [TFOPS_F16] = 0x1p-11L, [TFOPS_BF16] = 0x1p-8L};
    static const long double LEAST[] = {
        [TFOPS_F32] = 0x1p-149L, [TFOPS_F16] = 0x1p-24L, [TFOPS_BF16] = 0x1p-133L};
    const long double bound = fabsl(want) * UNIT[dtype] * 1.0001L + LEAST[dtype];
    cr_assert((isnan(got) && isnan(want)) || (long double)got == want ||
                  fabsl((long double)got - want) <= bound,
        "%s[%lld][%lld] in %s: %.9g, wanted %.9Lg", what, (long long)row, (long long)col,
        tfops_dtype_name(dtype), got, want);
}

#endif
