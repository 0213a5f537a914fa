/*
 * libfake_cublaslt.so: what of cuBLASLt a benchmark's peer calls, over memory of the fake driver. It
 * computes the product that the description asks for (layouts, transposition, scale modes), so that a
 * wrong description gives wrong numbers or an error, and appends a line for each matmul.
 *
 *   FAKE_CUBLASLT_OUT=FILE      where these lines go: kernel, m, n, k, modes, fast accumulation
 *   FAKE_CUBLASLT_KERNELS=N     how many kernels the heuristics offer (default: 2)
 */
#include "tests/support/host_data.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 7, MOST_ATTRIBUTES = 64 };
/* cublasLt.h: attributes of a description. */
enum { TRANSA = 3, A_SCALE = 17, B_SCALE = 18, FAST_ACCUM = 25, A_MODE = 31, B_MODE = 32 };
enum { MODE_TENSOR = 0, MODE_ROW = 3, MODE_GROUP = 4, MODE_BLOCK = 5 };

struct desc {
    int64_t values[MOST_ATTRIBUTES];
};
struct layout {
    int type;
    uint64_t rows, cols;
    int64_t ld;
};
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

static enum tfops_dtype dtype_of(int type)
{
    switch (type) {
    case 2:
        return TFOPS_F16;
    case 14:
        return TFOPS_BF16;
    case 28:
        return TFOPS_E4M3;
    case 29:
        return TFOPS_E5M2;
    default:
        return TFOPS_F32;
    }
}

static int make(void **ret_object, size_t bytes)
{
    *ret_object = calloc(1, bytes);
    return *ret_object ? SUCCESS : INVALID_VALUE;
}

static int release(void *object)
{
    free(object);
    return SUCCESS;
}

int cublasLtCreate(void **handle)
{
    return make(handle, 1);
}

int cublasLtDestroy(void *handle)
{
    return release(handle);
}

int cublasLtMatmulDescCreate(void **desc, int compute, int scale)
{
    return compute == 68 && scale == 0 ? make(desc, sizeof(struct desc)) : INVALID_VALUE;
}

int cublasLtMatmulDescDestroy(void *desc)
{
    return release(desc);
}

int cublasLtMatmulDescSetAttribute(void *desc, int attribute, const void *value, size_t bytes)
{
    int64_t *to = &((struct desc *)desc)->values[attribute & (MOST_ATTRIBUTES - 1)];
    if (attribute >= MOST_ATTRIBUTES || bytes > sizeof *to)
        return INVALID_VALUE;
    memcpy(to, value, bytes);
    return SUCCESS;
}

int cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld)
{
    int result = make(layout, sizeof(struct layout));
    if (!result)
        *(struct layout *)*layout = (struct layout){type, rows, cols, ld};
    return result;
}

int cublasLtMatrixLayoutDestroy(void *layout)
{
    return release(layout);
}

int cublasLtMatmulPreferenceCreate(void **preference)
{
    return make(preference, 1);
}

int cublasLtMatmulPreferenceDestroy(void *preference)
{
    return release(preference);
}

int cublasLtMatmulPreferenceSetAttribute(
    void *preference, int attribute, const void *value, size_t bytes)
{
    (void)preference, (void)value;
    return attribute == 1 && bytes == sizeof(uint64_t) ? SUCCESS : INVALID_VALUE;
}

/* The modes that the library has together: of a tensor, of rows, of groups by blocks. */
static int modes_known(const struct desc *desc)
{
    const int64_t a = desc->values[A_MODE], b = desc->values[B_MODE];
    return (a == MODE_TENSOR && b == MODE_TENSOR) || (a == MODE_ROW && b == MODE_ROW) ||
           (a == MODE_BLOCK && b == MODE_GROUP);
}

int cublasLtMatmulAlgoGetHeuristic(void *handle, void *desc, void *a, void *b, void *c, void *d,
    void *preference, int requested, struct heuristic *results, int *ret_count)
{
    (void)handle, (void)a, (void)b, (void)c, (void)d, (void)preference;
    const char *wanted = getenv("FAKE_CUBLASLT_KERNELS");
    int count = wanted ? atoi(wanted) : 2;
    *ret_count = 0;
    if (!modes_known(desc))
        return INVALID_VALUE;
    for (; *ret_count < count && *ret_count < requested; ++*ret_count)
        results[*ret_count] = (struct heuristic){.algorithm.data = {(uint64_t)*ret_count + 1}};
    return SUCCESS;
}

static void report(uint64_t kernel, const struct desc *desc, const struct layout *a, uint64_t cols)
{
    const char *path = getenv("FAKE_CUBLASLT_OUT");
    FILE *file = path ? fopen(path, "ae") : NULL;
    if (!file)
        return;
    fprintf(file, "kernel %llu m=%llu n=%llu k=%llu modes %lld %lld fast %lld\n",
        (unsigned long long)kernel, (unsigned long long)cols, (unsigned long long)a->cols,
        (unsigned long long)a->rows, (long long)desc->values[A_MODE],
        (long long)desc->values[B_MODE], (long long)desc->values[FAST_ACCUM]);
    fclose(file);
}

/* Column-major: d [n, m] = aᵀ [n, k] · b [k, m]; every scale is that of the first element. */
int cublasLtMatmul(void *handle, void *desc, const void *alpha, const void *a, void *a_layout,
    const void *b, void *b_layout, const void *beta, const void *c, void *c_layout, void *d,
    void *d_layout, const struct algorithm *algorithm, void *workspace, size_t workspace_bytes,
    void *stream)
{
    (void)handle, (void)alpha, (void)beta, (void)c, (void)c_layout, (void)workspace, (void)stream;
    const struct layout *la = a_layout, *lb = b_layout, *ld = d_layout;
    const struct desc *descriptor = desc;
    if (descriptor->values[TRANSA] != 1 || la->rows != lb->rows || la->cols != ld->rows ||
        lb->cols != ld->cols || !algorithm->data[0] || !workspace_bytes)
        return INVALID_VALUE;
    const float *a_scale = (const float *)(intptr_t)descriptor->values[A_SCALE];
    const float *b_scale = (const float *)(intptr_t)descriptor->values[B_SCALE];
    const float scale = a_scale && b_scale ? *a_scale * *b_scale : 1;
    for (uint64_t m = 0; m < ld->cols; m++)
        for (uint64_t n = 0; n < ld->rows; n++) {
            double sum = 0;
            for (uint64_t k = 0; k < la->rows; k++)
                sum += (double)host_load(a, dtype_of(la->type), (int64_t)n * la->ld + (int64_t)k) *
                       (double)host_load(b, dtype_of(lb->type), (int64_t)m * lb->ld + (int64_t)k);
            host_store(d, dtype_of(ld->type), (int64_t)m * ld->ld + (int64_t)n, (float)sum * scale);
        }
    report(algorithm->data[0], descriptor, la, lb->cols);
    return SUCCESS;
}
