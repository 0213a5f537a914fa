/* What a failed check says, in words that name the element (see verify_state.h). */
#include "base/error.h"
#include "base/half.h"
#include "key.h"
#include "tolerance.h"
#include "verify_state.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

double verify_value(enum tfops_dtype dtype, const void *element)
{
    uint64_t cell = 0;
    memcpy(&cell, element, tfops_dtype_bytes(dtype));
    if (dtype == TFOPS_I32 || dtype == TFOPS_I64) /* little-endian, as every host of a GPU */
        return dtype == TFOPS_I32 ? (double)(int32_t)cell : (double)(int64_t)cell;
    return half_load(&cell, dtype, 0);
}

/* "rows=37", "rows=37, in place". */
void verify_describe_case(const struct verify_case *vcase, char ret_text[VERIFY_TEXT_BYTES])
{
    static const char *const KINDS[] = {[VERIFY_PLAIN] = "",
        [VERIFY_SPECIAL] = ", special values, padded rows",
        [VERIFY_ALIAS] = ", in place"};
    const struct tfops_spec *spec = vcase->problem.spec;
    snprintf(ret_text, VERIFY_TEXT_BYTES, "%s=%lld%s", spec->dims[key_dynamic_dim(spec)].name,
        (long long)vcase->extent, KINDS[vcase->kind]);
}

/* "out[3][17]": rows collapse all but the last dimension. */
void verify_describe_element(const struct verify_case *vcase, size_t operand, int64_t row,
    int64_t col, char ret_text[VERIFY_TEXT_BYTES])
{
    const struct tfops_operand_spec *spec = &vcase->problem.spec->operands[operand];
    int64_t at[TFOPS_MAX_OPERAND_RANK] = {0};
    size_t length = (size_t)snprintf(ret_text, VERIFY_TEXT_BYTES, "%s", spec->name);
    if (spec->rank)
        at[spec->rank - 1] = col;
    for (int i = spec->rank - 2; i >= 0; i--) {
        int64_t extent = vcase->problem.dims[spec->dims[i]];
        at[i] = row % extent;
        row /= extent;
    }
    for (int i = 0; i < spec->rank && length < VERIFY_TEXT_BYTES; i++)
        length += (size_t)snprintf(
            ret_text + length, VERIFY_TEXT_BYTES - length, "[%lld]", (long long)at[i]);
}

double verify_relative(const struct compare_result *result)
{
    if (result->class_diffs)
        return NAN;
    if (result->diff_squares == 0)
        return 0;
    return sqrt(result->diff_squares / result->ref_squares);
}

static struct tfops_tolerance tolerance_of(const struct verifier *verifier, uint32_t i)
{
    const struct verify_case *vcase = &verifier->cases[verifier->checks[i].vcase];
    const struct tfops_spec *spec = verifier->problem->spec;
    struct tfops_tolerance tolerance = {0};
    spec->tolerance(spec->user, &vcase->problem, (size_t)verifier->checks[i].operand, &tolerance);
    return tolerance;
}

static bool is_special(const struct verifier *verifier, uint32_t i)
{
    return verifier->cases[verifier->checks[i].vcase].kind == VERIFY_SPECIAL;
}

static bool norm_is_right(const struct verifier *verifier, uint32_t i)
{
    const struct compare_result *result = &verifier->host[i];
    const struct tfops_tolerance tolerance = tolerance_of(verifier, i);
    float largest;
    memcpy(&largest, &result->largest_bits, sizeof largest);
    return verify_relative(result) <= tolerance_of_norm(&tolerance,
                                          (enum tfops_dtype)verifier->checks[i].params.b_dtype,
                                          is_special(verifier, i), largest, result->ref_squares);
}

/* How far the element furthest off is, beside what its size allows, and how far it may be. */
static double furthest(const struct verifier *verifier, uint32_t i, double *ret_most)
{
    const struct verify_check *check = &verifier->checks[i];
    const struct tfops_tolerance tolerance = tolerance_of(verifier, i);
    float beyond;
    memcpy(&beyond, &verifier->host[i].max_beyond_bits, sizeof beyond);
    *ret_most = tolerance_of_element(&tolerance, is_special(verifier, i),
        verifier->host[i].ref_squares, (double)check->params.rows * (double)check->params.cols);
    return beyond;
}

bool verify_is_right(const struct verifier *verifier, uint32_t i)
{
    double most;
    if (verifier->host[i].violations)
        return false;
    if (verifier->checks[i].kind != CHECK_VALUES)
        return true;
    return norm_is_right(verifier, i) && furthest(verifier, i, &most) <= most;
}

/* An element of both tensors of a check, and whether the tested one is still poison. */
struct wrong_pair {
    double expected, actual;
    bool unwritten;
};

static enum tfops_status read_pair(const struct verifier *verifier,
    const struct compare_params *params, int64_t row, int64_t col, struct wrong_pair *ret_pair)
{
    enum tfops_dtype dtype = (enum tfops_dtype)params->a_dtype;
    size_t bytes = tfops_dtype_bytes(dtype);
    unsigned char a[8] = {0}, b[8] = {0}, poison[8];
    CUdeviceptr at_a = (CUdeviceptr)(uintptr_t)params->a, at_b = (CUdeviceptr)(uintptr_t)params->b;
    memset(poison, BUFFERS_POISON_BYTE, sizeof poison);
    at_a += (size_t)(row * params->a_stride + col) * bytes;
    at_b += (size_t)(row * params->b_stride + col) * bytes;
    CUresult result = verifier->gpu->driver->memcpy_dtoh(a, at_a, bytes);
    if (!result)
        result = verifier->gpu->driver->memcpy_dtoh(b, at_b, bytes);
    *ret_pair = (struct wrong_pair){
        verify_value(dtype, b), verify_value(dtype, a), !memcmp(a, poison, bytes)};
    return gpu_check(verifier->gpu, result, "cuMemcpyDtoH");
}

static enum tfops_status explain_values(const struct verifier *verifier, uint32_t i,
    const char *where, const char *element, int64_t row, int64_t col, char *text, size_t bytes)
{
    const struct verify_check *check = &verifier->checks[i];
    struct wrong_pair pair;
    char actual[32];
    const char *const name = verifier->problem->spec->operands[check->operand].name;
    double most;
    const double beyond = furthest(verifier, i, &most);
    if (!verifier->host[i].violations) {
        if (beyond > most)
            snprintf(text, bytes, "%s: an element is off by %.3g, at most %.3g (%s)", name, beyond,
                most, where);
        else
            snprintf(text, bytes, "%s: relative error %.3g is above the tolerance (%s)", name,
                verify_relative(&verifier->host[i]), where);
        return TFOPS_OK;
    }
    enum tfops_status status = read_pair(verifier, &check->params, row, col, &pair);
    snprintf(actual, sizeof actual, "%.6g", pair.actual);
    snprintf(text, bytes, "%s: expected %.6g, got %s (%s)", element, pair.expected,
        pair.unwritten ? "what was there before" : actual, where);
    return status;
}

/* Says what is wrong with check i. */
enum tfops_status verify_explain(
    const struct verifier *verifier, uint32_t i, char *text, size_t bytes)
{
    const struct verify_check *check = &verifier->checks[i];
    const struct verify_case *vcase = &verifier->cases[check->vcase];
    unsigned long long first = verifier->host[i].first;
    int64_t stride = check->stride > 0 ? check->stride : 1;
    int64_t row = (int64_t)first / stride, col = (int64_t)first % stride;
    char where[VERIFY_TEXT_BYTES], element[VERIFY_TEXT_BYTES] = "";
    verify_describe_case(vcase, where);
    if (check->operand >= 0)
        verify_describe_element(vcase, (size_t)check->operand, row, col, element);
    switch (check->kind) {
    case CHECK_VALUES:
        return explain_values(verifier, i, where, element, row, col, text, bytes);
    case CHECK_INPUT:
        snprintf(text, bytes, "%s: an input was written (%s)", element, where);
        break;
    case CHECK_PADDING:
        snprintf(text, bytes, "%s: written between rows %lld and %lld (%s)",
            verifier->problem->spec->operands[check->operand].name, (long long)row,
            (long long)row + 1, where);
        break;
    case CHECK_ZONE:
        snprintf(text, bytes,
            "red zone %u: written at byte %llu of %zu outside of all operands (%s)",
            (unsigned)check->zone, first, vcase->layout.zones[check->zone].bytes, where);
        break;
    case CHECK_WORKSPACE:
        snprintf(text, bytes, "workspace: written %s it", check->zone ? "behind" : "before");
        break;
    case CHECK_INVARIANT:
        snprintf(text, bytes, "%s: depends on how many rows there are (%s)", element, where);
        break;
    }
    return TFOPS_OK;
}
