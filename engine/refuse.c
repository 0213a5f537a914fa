/* Refusals of requests (see refuse.h). */
#include "refuse.h"
#include "base/error.h"
#include "problem.h"
#include <stdio.h>
#include <string.h>
#include <tfops/tensor.h>

enum tfops_status refuse_null(const char *what)
{
    return error_set(TFOPS_E_ARGUMENT, "request", what, "not NULL", "NULL");
}

void refuse_print_shape(const struct tfops_tensor *tensor, char *ret_text, size_t bytes)
{
    size_t length = (size_t)snprintf(ret_text, bytes, "[");
    int rank = tensor->rank < 0 ? 0 : tensor->rank > TFOPS_MAX_RANK ? TFOPS_MAX_RANK : tensor->rank;
    for (int i = 0; i < rank && length < bytes; i++)
        length += (size_t)snprintf(ret_text + length, bytes - length, "%s%lld", i ? ", " : "",
            (long long)tensor->shape[i]);
    if (length < bytes)
        snprintf(ret_text + length, bytes - length, "]");
}

enum tfops_status refuse_shape(const struct tfops_problem *problem,
    const struct tfops_operand_spec *operand, const struct tfops_tensor *tensor, uint32_t bound)
{
    char expected[160], actual[160];
    size_t length = (size_t)snprintf(
        expected, sizeof expected, "[%s", operand->flags & TFOPS_OPERAND_ROWS ? "…" : "");
    for (int d = 0; d < operand->rank && length < sizeof expected; d++) {
        int dim = operand->dims[d];
        const char *name = problem->spec->dims[dim].name;
        bool rows = d == 0 && operand->flags & TFOPS_OPERAND_ROWS;
        const char *first = rows ? " → " : "";
        length += (size_t)snprintf(expected + length, sizeof expected - length,
            bound >> dim & 1 ? "%s%s=%lld" : "%s%s", d ? ", " : first, name,
            (long long)problem->dims[dim]);
    }
    if (length < sizeof expected)
        snprintf(expected + length, sizeof expected - length, "]");
    refuse_print_shape(tensor, actual, sizeof actual);
    return error_set(TFOPS_E_SHAPE, "request", operand->name, expected, actual);
}

enum tfops_status refuse_extent(
    const struct tfops_operand_spec *operand, const struct tfops_dim_spec *dim, int64_t extent)
{
    char expected[96], actual[32];
    snprintf(expected, sizeof expected, "%s from %lld to %lld", dim->name,
        (long long)problem_least_extent(dim), (long long)dim->max);
    snprintf(actual, sizeof actual, "%lld", (long long)extent);
    return error_set(TFOPS_E_RANGE, "request", operand->name, expected, actual);
}

enum tfops_status refuse_stride(
    const struct tfops_operand_spec *operand, const char *expected, int64_t stride)
{
    char actual[32];
    snprintf(actual, sizeof actual, "%lld", (long long)stride);
    return error_set(TFOPS_E_SHAPE, "request", operand->name, expected, actual);
}

enum tfops_status refuse_dtype(const struct tfops_problem *problem,
    const struct tfops_operand_spec *operand, enum tfops_dtype dtype)
{
    const struct tfops_dtype_spec *parameter = &problem->spec->dtypes[operand->dtype];
    uint8_t bound = problem->dtypes[operand->dtype];
    char expected[96];
    size_t length = (size_t)snprintf(expected, sizeof expected, "%s:", parameter->name);
    for (int i = 1; i < TFOPS_DTYPE_COUNT && length < sizeof expected; i++)
        if (bound ? i == bound : parameter->allowed >> i & 1)
            length += (size_t)snprintf(expected + length, sizeof expected - length, " %s",
                tfops_dtype_name((enum tfops_dtype)i));
    return error_set(TFOPS_E_DTYPE, "request", operand->name, expected, tfops_dtype_name(dtype));
}

enum tfops_status refuse_address(
    const struct tfops_operand_spec *operand, const void *data, size_t bytes)
{
    char expected[64], actual[32];
    if (!data)
        return error_set(
            TFOPS_E_ARGUMENT, "request", operand->name, "an address of its data", "NULL");
    snprintf(expected, sizeof expected, "a multiple of %zu bytes", bytes);
    snprintf(actual, sizeof actual, "%p", data);
    return error_set(TFOPS_E_ALIGNMENT, "request", operand->name, expected, actual);
}

enum tfops_status refuse_operand(const struct tfops_operand_spec *operand, bool given)
{
    return error_set(TFOPS_E_ARGUMENT, "request", operand->name,
        given ? "no such operand" : "a tensor", given ? "a tensor" : "NULL");
}

enum tfops_status refuse_args(const struct tfops_spec *spec, const struct tfops_args *args)
{
    if (!spec || !args)
        return refuse_null(spec ? "args" : "spec");
    char expected[64], actual[32];
    if (args->size != sizeof *args) {
        snprintf(expected, sizeof expected, "sizeof(struct tfops_args) = %zu", sizeof *args);
        snprintf(actual, sizeof actual, "%zu", args->size);
        return error_set(TFOPS_E_ARGUMENT, "request", "args.size", expected, actual);
    }
    if (args->flags & ~TFOPS_BATCH_INVARIANT) {
        snprintf(actual, sizeof actual, "%#x", args->flags);
        return error_set(
            TFOPS_E_ARGUMENT, "request", "args.flags", "TFOPS_BATCH_INVARIANT or 0", actual);
    }
    snprintf(expected, sizeof expected, "at most %zu", spec->n_scalars);
    snprintf(actual, sizeof actual, "%u", args->n_scalars);
    return error_set(TFOPS_E_ARGUMENT, "request", "args.n_scalars", expected, actual);
}

enum tfops_status refuse_option(const struct tfops_option_spec *option, unsigned value)
{
    char expected[64], actual[16];
    snprintf(expected, sizeof expected, "an index below %zu", option->n_values);
    snprintf(actual, sizeof actual, "%u", value);
    return error_set(TFOPS_E_RANGE, "request", option->name, expected, actual);
}

enum tfops_status refuse_scalar(const struct tfops_scalar_spec *scalar, double value)
{
    char expected[64], actual[32];
    snprintf(expected, sizeof expected, "from %g to %g", scalar->min, scalar->max);
    snprintf(actual, sizeof actual, "%g", value);
    return error_set(TFOPS_E_RANGE, "request", scalar->name, expected, actual);
}

/* Where `part` begins last; NULL: nowhere. */
static char *find_last(char *text, const char *part)
{
    char *last = NULL;
    for (char *next = strstr(text, part); next; next = strstr(next + 1, part))
        last = next;
    return last;
}

enum tfops_status refuse_reason(const struct tfops_spec *spec, const char *reason)
{
    static const char EXPECTED[] = ": expected ", GOT[] = ", got ";
    char text[TFOPS_REASON_BYTES];
    snprintf(text, sizeof text, "%s", reason);
    char *expected = strstr(text, EXPECTED);
    char *got = expected ? find_last(expected, GOT) : NULL; /* what was expected may hold one too */
    if (!got || strcspn(text, " ") < strcspn(text, ":"))
        return error_setf(TFOPS_E_SHAPE, 0, "request", spec->name, "%s", reason);
    *expected = *got = '\0';
    return error_set(
        TFOPS_E_SHAPE, "request", text, expected + sizeof EXPECTED - 1, got + sizeof GOT - 1);
}
