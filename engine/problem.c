/*
 * Problems as text and tables: starting, setting, checking and printing them. What command lines,
 * caches and worker processes speak; never on the path of a launch. Configs likewise: config.c.
 */
#include "problem.h"
#include "base/error.h"
#include "key.h"
#include "request.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/plan.h>

static enum tfops_status refuse_null(const char *where, const char *what)
{
    return error_set(TFOPS_E_ARGUMENT, where, what, "not NULL", "NULL");
}

enum tfops_status tfops_problem_init(
    const struct tfops_spec *spec, struct tfops_problem *ret_problem)
{
    if (!spec || !ret_problem)
        return refuse_null("problem", spec ? "ret_problem" : "spec");
    *ret_problem = (struct tfops_problem){.size = sizeof *ret_problem, .spec = spec};
    uint32_t first = spec->dtypes[0].allowed;
    ret_problem->dtypes[0] = (uint8_t)(first >> TFOPS_F16 & 1 ? TFOPS_F16 : __builtin_ctz(first));
    for (size_t i = 0; i < spec->n_operands; i++)
        if (!(spec->operands[i].flags & TFOPS_OPERAND_OPTIONAL))
            ret_problem->present |= 1u << i;
    return TFOPS_OK;
}

bool problem_parse_int(const char *text, int64_t *ret_value)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || (*text != '-' && (*text < '0' || *text > '9')))
        return false;
    *ret_value = value;
    return true;
}

static enum tfops_status refuse_dim(
    const struct tfops_dim_spec *dim, int64_t least, const char *value)
{
    char expected[96];
    snprintf(expected, sizeof expected, "a whole number from %lld to %lld", (long long)least,
        (long long)dim->max);
    return error_set(TFOPS_E_RANGE, "problem", dim->name, expected, value);
}

static enum tfops_status set_dim(struct tfops_problem *problem, size_t i, const char *value)
{
    const struct tfops_dim_spec *dim = &problem->spec->dims[i];
    int64_t number = 0;
    if (!problem_parse_int(value, &number) || number < dim->min || number > dim->max)
        return refuse_dim(dim, dim->min, value);
    problem->dims[i] = number;
    return TFOPS_OK;
}

enum tfops_dtype problem_default_dtype(const struct tfops_problem *problem, size_t i)
{
    uint32_t allowed = problem->spec->dtypes[i].allowed;
    return allowed >> problem->dtypes[0] & 1 ? (enum tfops_dtype)problem->dtypes[0]
                                             : (enum tfops_dtype)__builtin_ctz(allowed);
}

uint32_t problem_told_dims(const struct tfops_problem *problem)
{
    const struct tfops_spec *spec = problem->spec;
    uint32_t told = 0;
    for (size_t i = 0; i < spec->n_operands; i++)
        for (int d = 0; d < spec->operands[i].rank && problem->present >> i & 1; d++)
            told |= 1u << spec->operands[i].dims[d];
    return told;
}

void problem_derive(struct tfops_problem *problem)
{
    const struct tfops_spec *spec = problem->spec;
    for (size_t i = 0; i < spec->n_dims; i++)
        if (spec->dims[i].flags == TFOPS_DIM_DERIVED)
            problem->dims[i] = spec->derive(spec->user, problem, i);
}

void problem_set_extent(struct tfops_problem *problem, int64_t extent)
{
    problem->dims[key_dynamic_dim(problem->spec)] = extent;
    problem_derive(problem);
}

static void list_dtypes(uint32_t allowed, char *text, size_t bytes)
{
    size_t length = 0;
    text[0] = '\0';
    for (int i = 1; i < TFOPS_DTYPE_COUNT && length < bytes; i++)
        if (allowed >> i & 1)
            length += (size_t)snprintf(text + length, bytes - length, "%s%s", length ? " " : "",
                tfops_dtype_name((enum tfops_dtype)i));
}

static enum tfops_status set_dtype(
    struct tfops_problem *problem, size_t i, const char *name, const char *value)
{
    uint32_t allowed = problem->spec->dtypes[i].allowed;
    enum tfops_dtype dtype = tfops_dtype_parse(value);
    if (dtype && allowed >> dtype & 1) {
        problem->dtypes[i] = (uint8_t)dtype;
        return TFOPS_OK;
    }
    char expected[96] = "one of ";
    list_dtypes(allowed, expected + 7, sizeof expected - 7);
    return error_set(TFOPS_E_DTYPE, "problem", name, expected, value);
}

static enum tfops_status set_option(
    struct tfops_problem *problem, size_t i, const char *name, const char *value)
{
    const struct tfops_option_spec *option = &problem->spec->options[i];
    char expected[160] = "one of";
    size_t length = strlen(expected);
    for (size_t k = 0; k < option->n_values; k++) {
        if (!strcmp(value, option->values[k])) {
            problem->options[i] = (uint8_t)k;
            return TFOPS_OK;
        }
        if (length < sizeof expected)
            length += (size_t)snprintf(
                expected + length, sizeof expected - length, " %s", option->values[k]);
    }
    return error_set(TFOPS_E_RANGE, "problem", name, expected, value);
}

static enum tfops_status set_bit(uint32_t *word, uint32_t bit, const char *name, const char *value)
{
    if (strcmp(value, "0") && strcmp(value, "1"))
        return error_set(TFOPS_E_RANGE, "problem", name, "0 or 1", value);
    *word = *value == '1' ? *word | bit : *word & ~bit;
    return TFOPS_OK;
}

static enum tfops_status set_align(struct tfops_problem *problem, const char *value)
{
    int64_t number = 0;
    if (problem_parse_int(value, &number) && number >= 1 && number <= 16 &&
        !(number & (number - 1))) {
        problem->align = (uint32_t)number;
        return TFOPS_OK;
    }
    return error_set(TFOPS_E_RANGE, "problem", "align", "1, 2, 4, 8 or 16 (bytes)", value);
}

static enum tfops_status unknown_name(const struct tfops_spec *spec, const char *name)
{
    char known[192];
    size_t length = 0;
    known[0] = '\0';
#define LIST(field, condition)                                                                     \
    for (size_t i = 0; i < spec->n_##field && length < sizeof known; i++)                          \
        if (condition)                                                                             \
            length += (size_t)snprintf(                                                            \
                known + length, sizeof known - length, "%s ", spec->field[i].name);
    LIST(dims, spec->dims[i].flags != TFOPS_DIM_DERIVED)
    LIST(dtypes, true)
    LIST(options, true)
    LIST(operands, spec->operands[i].flags & TFOPS_OPERAND_OPTIONAL)
#undef LIST
    if (length < sizeof known)
        snprintf(known + length, sizeof known - length, "align batch_invariant");
    return error_setf(TFOPS_E_UNKNOWN, 0, "problem", name, "%s has no such property; it has: %s",
        spec->name, known);
}

enum tfops_status tfops_problem_set(
    struct tfops_problem *problem, const char *name, const char *value)
{
    if (!problem || !problem->spec || !name || !value)
        return refuse_null("problem", !problem || !problem->spec ? "problem"
                                      : !name                    ? "name"
                                                                 : "value");
    const struct tfops_spec *spec = problem->spec;
    for (size_t i = 0; i < spec->n_dims; i++)
        if (!strcmp(name, spec->dims[i].name) && spec->dims[i].flags != TFOPS_DIM_DERIVED)
            return set_dim(problem, i, value);
    for (size_t i = 0; i < spec->n_dtypes; i++)
        if (!strcmp(name, spec->dtypes[i].name))
            return set_dtype(problem, i, name, value);
    for (size_t i = 0; i < spec->n_options; i++)
        if (!strcmp(name, spec->options[i].name))
            return set_option(problem, i, name, value);
    for (size_t i = 0; i < spec->n_operands; i++)
        if (spec->operands[i].flags & TFOPS_OPERAND_OPTIONAL &&
            !strcmp(name, spec->operands[i].name))
            return set_bit(&problem->present, 1u << i, name, value);
    if (!strcmp(name, "align"))
        return set_align(problem, value);
    if (!strcmp(name, "batch_invariant"))
        return set_bit(&problem->flags, TFOPS_BATCH_INVARIANT, name, value);
    return unknown_name(spec, name);
}

/* Strides of a contiguous operand; false when its size overflows. */
bool problem_natural_strides(const struct tfops_problem *problem, size_t operand,
    int64_t ret_strides[TFOPS_MAX_OPERAND_RANK], int64_t *ret_elems)
{
    const struct tfops_operand_spec *spec = &problem->spec->operands[operand];
    int64_t stride = 1;
    for (int d = spec->rank - 1; d >= 0; d--) {
        ret_strides[d] = stride;
        if (__builtin_mul_overflow(stride, problem->dims[spec->dims[d]], &stride))
            return false;
    }
    *ret_elems = stride;
    return true;
}

size_t problem_operand_bytes(const struct tfops_problem *problem, size_t operand)
{
    return tfops_dtype_bytes(
        (enum tfops_dtype)problem->dtypes[problem->spec->operands[operand].dtype]);
}

static enum tfops_status fill_align(struct tfops_problem *problem)
{
    uint64_t bits = 16;
    for (size_t i = 0; i < problem->spec->n_operands; i++) {
        int64_t strides[TFOPS_MAX_OPERAND_RANK], elems, bytes;
        const struct tfops_operand_spec *operand = &problem->spec->operands[i];
        if (!(problem->present >> i & 1))
            continue;
        if (!problem_natural_strides(problem, i, strides, &elems) ||
            __builtin_mul_overflow(elems, (int64_t)problem_operand_bytes(problem, i), &bytes))
            return error_set(TFOPS_E_RANGE, "problem", operand->name, "a size in bytes below 2^63",
                "an overflow");
        for (int d = 0; d + 1 < operand->rank && !(operand->flags & TFOPS_OPERAND_ELEMENTS); d++)
            bits |= (uint64_t)strides[d] * problem_operand_bytes(problem, i);
    }
    if (!problem->align)
        problem->align = 1u << __builtin_ctzll(bits);
    return TFOPS_OK;
}

/* Ranges of what present operands have; what only absent ones have is 0. */
static enum tfops_status check_dims(struct tfops_problem *problem)
{
    const struct tfops_spec *spec = problem->spec;
    uint32_t told = problem_told_dims(problem);
    for (size_t i = 0; i < spec->n_dims; i++) {
        const struct tfops_dim_spec *dim = &spec->dims[i];
        int64_t least = problem_least_extent(dim);
        if (dim->flags == TFOPS_DIM_DERIVED)
            continue;
        if (!(told >> i & 1))
            problem->dims[i] = 0;
        if (!(told >> i & 1) || (problem->dims[i] >= least && problem->dims[i] <= dim->max))
            continue;
        char value[24];
        snprintf(value, sizeof value, "%lld", (long long)problem->dims[i]);
        return refuse_dim(dim, least, value);
    }
    problem_derive(problem);
    return TFOPS_OK;
}

static enum tfops_status check_tables(struct tfops_problem *problem)
{
    const struct tfops_spec *spec = problem->spec;
    for (size_t i = 0; i < spec->n_dtypes; i++) {
        if (!problem->dtypes[i])
            problem->dtypes[i] = (uint8_t)problem_default_dtype(problem, i);
        const char *name = tfops_dtype_name((enum tfops_dtype)problem->dtypes[i]);
        enum tfops_status status = set_dtype(problem, i, spec->dtypes[i].name, name);
        if (status)
            return status;
    }
    for (size_t i = 0; i < spec->n_options; i++)
        if (problem->options[i] >= spec->options[i].n_values)
            return error_setf(TFOPS_E_RANGE, 0, "problem", spec->options[i].name,
                "expected an index below %zu, got %u", spec->options[i].n_values,
                problem->options[i]);
    return TFOPS_OK;
}

static enum tfops_status check_bits(const struct tfops_problem *problem)
{
    const struct tfops_spec *spec = problem->spec;
    uint32_t all = spec->n_operands < 32 ? (1u << spec->n_operands) - 1 : UINT32_MAX;
    if (problem->present & ~all || problem->flags & ~TFOPS_BATCH_INVARIANT)
        return error_set(TFOPS_E_ARGUMENT, "problem", "flags", "known bits only", "unknown bits");
    for (size_t i = 0; i < spec->n_operands; i++)
        if (!(spec->operands[i].flags & TFOPS_OPERAND_OPTIONAL) && !(problem->present >> i & 1))
            return error_set(TFOPS_E_ARGUMENT, "problem", spec->operands[i].name,
                "this operand present", "absent");
    if (problem->align > 16 || problem->align & (problem->align - 1))
        return error_setf(TFOPS_E_RANGE, 0, "problem", "align",
            "expected 1, 2, 4, 8 or 16 (bytes), got %u", problem->align);
    return TFOPS_OK;
}

enum tfops_status tfops_problem_check(struct tfops_problem *problem)
{
    if (!problem || problem->size != sizeof *problem || !problem->spec)
        return error_set(TFOPS_E_ARGUMENT, "problem", "problem", "made by tfops_problem_init()",
            "NULL, another size or no spec");
    struct tfops_problem checked = *problem;
    enum tfops_status status = check_bits(&checked);
    if (!status)
        status = check_tables(&checked);
    if (!status)
        status = check_dims(&checked);
    if (!status)
        status = fill_align(&checked);
    if (!status)
        status = request_accepts(&checked);
    if (!status)
        *problem = checked;
    return status;
}

size_t tfops_problem_format(const struct tfops_problem *problem, char *ret_text, size_t bytes)
{
    char key[KEY_TEXT_BYTES];
    if (!problem || !problem->spec)
        return 0;
    int dim = key_dynamic_dim(problem->spec);
    key_text(problem, key);
    int length = snprintf(ret_text, bytes, "%s %s=%lld %s", problem->spec->name,
        problem->spec->dims[dim].name, (long long)problem->dims[dim], key);
    return length > 0 ? (size_t)length : 0;
}
