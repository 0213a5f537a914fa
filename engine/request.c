/* Requests (see request.h). Why one is refused: refuse.c. */
#include "request.h"
#include "base/error.h"
#include "overlap.h"
#include "problem.h"
#include "refuse.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <tfops/tensor.h>

#define NOINLINE __attribute__((noinline, cold))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* tfops_dtype_bytes() as a table in this file: a call for each use would be a third of a bind. */
static const uint8_t DTYPE_BYTES[TFOPS_DTYPE_COUNT] = {[TFOPS_F32] = 4,
    [TFOPS_F16] = 2,
    [TFOPS_BF16] = 2,
    [TFOPS_E4M3] = 1,
    [TFOPS_E5M2] = 1,
    [TFOPS_I32] = 4,
    [TFOPS_I64] = 8,
    [TFOPS_U8] = 1};

/* ---- one operand ---------------------------------------------------------------------------- */

struct binding {
    const struct tfops_spec *spec;
    struct request *request;
    uint32_t bound;  /* dimensions that have their extent */
    uint64_t misfit; /* addresses and strides in bytes, or-ed: the low bits tell the alignment */
};

/* Takes an extent for a dimension, or compares with the one it has. */
static inline enum tfops_status bind_extent(struct binding *binding,
    const struct tfops_operand_spec *operand, const struct tfops_tensor *tensor, int dim,
    int64_t extent)
{
    struct tfops_problem *problem = &binding->request->problem;
    if (binding->bound >> dim & 1) {
        if (UNLIKELY(problem->dims[dim] != extent))
            return refuse_shape(problem, operand, tensor, binding->bound);
        return TFOPS_OK;
    }
    const struct tfops_dim_spec *spec = &binding->spec->dims[dim];
    if (UNLIKELY(extent < problem_least_extent(spec) || extent > spec->max))
        return refuse_extent(operand, spec, extent);
    problem->dims[dim] = extent;
    binding->bound |= 1u << dim;
    return TFOPS_OK;
}

/* Leading extents as one dimension: their product and the stride between its elements. */
static inline enum tfops_status collapse(const struct tfops_operand_spec *operand,
    const struct tfops_tensor *tensor, int n, int64_t *ret_extent, int64_t *ret_stride)
{
    int64_t extent = 1, stride = 0, next;
    for (int i = n - 1; i >= 0; i--) {
        int64_t shape = tensor->shape[i];
        if (shape == 1)
            continue;
        if (UNLIKELY(shape < 0))
            return refuse_stride(operand, "extents of 0 or more", shape);
        if (extent == 1)
            stride = tensor->strides[i];
        else if (UNLIKELY((__builtin_mul_overflow(stride, extent, &next) ||
                              tensor->strides[i] != next) &&
                          shape && extent))
            return refuse_stride(
                operand, "leading extents with one common stride", tensor->strides[i]);
        if (UNLIKELY(__builtin_mul_overflow(extent, shape, &extent)))
            return refuse_stride(operand, "a number of rows below 2^63", shape);
    }
    *ret_extent = extent;
    *ret_stride = stride;
    return TFOPS_OK;
}

static inline enum tfops_status bind_dims(struct binding *binding,
    const struct tfops_operand_spec *operand, const struct tfops_tensor *tensor,
    struct tfops_view *view)
{
    int rank = tensor->rank >= 0 && tensor->rank <= TFOPS_MAX_RANK ? tensor->rank : -TFOPS_MAX_RANK;
    int extra = rank - operand->rank;
    bool rows = operand->flags & TFOPS_OPERAND_ROWS;
    if (UNLIKELY(rows ? extra < -1 : extra != 0))
        return refuse_shape(&binding->request->problem, operand, tensor, binding->bound);
    enum tfops_status status = TFOPS_OK;
    for (int d = 0; d < operand->rank; d++) {
        int64_t extent = 1, stride = 0;
        if (rows && d == 0) {
            status = collapse(operand, tensor, extra + 1, &extent, &stride);
            if (UNLIKELY(status))
                return status;
        } else {
            extent = tensor->shape[d + extra];
            stride = tensor->strides[d + extra];
        }
        status = bind_extent(binding, operand, tensor, operand->dims[d], extent);
        if (UNLIKELY(status))
            return status;
        view->strides[d] = extent == 1 ? -1 : stride; /* an extent of 1 has no stride of its own */
    }
    return TFOPS_OK;
}

/* An operand for the exact questions about memory; false: it has no element. */
static bool describe(const struct request *request, const struct tfops_operand_spec *operand,
    const struct tfops_view *view, size_t elem_bytes, struct overlap_operand *ret_operand)
{
    *ret_operand = (struct overlap_operand){
        .begin = (uintptr_t)view->data, .rank = operand->rank, .elem_bytes = elem_bytes};
    for (int d = 0; d < operand->rank; d++) {
        ret_operand->extents[d] = request->problem.dims[operand->dims[d]];
        ret_operand->strides[d] = view->strides[d];
        if (ret_operand->extents[d] < 1)
            return false;
    }
    return true;
}

/* Dimensions in another order than in memory are fine, two indices of one element are not. */
static NOINLINE enum tfops_status check_distinct(const struct request *request,
    const struct tfops_operand_spec *operand, const struct tfops_view *view, size_t elem_bytes)
{
    struct overlap_operand memory;
    if (!describe(request, operand, view, elem_bytes, &memory) || !overlap_within(&memory))
        return TFOPS_OK;
    return refuse_stride(operand, "elements that do not overlap", view->strides[0]);
}

/* Strides an extent of 1 leaves open become the contiguous ones, so that keys do not depend on it. */
static inline enum tfops_status close_strides(struct binding *binding,
    const struct tfops_operand_spec *operand, struct tfops_view *view, size_t elem_bytes)
{
    const int64_t *dims = binding->request->problem.dims;
    int64_t natural = 1, reach = 0, step;
    bool ordered = true; /* each stride goes beyond all that is within it */
    for (int d = operand->rank - 1; d >= 0; d--) {
        int64_t extent = dims[operand->dims[d]];
        if (view->strides[d] < 0) {
            if (UNLIKELY(extent != 1))
                return refuse_stride(operand, "strides of 0 or more", view->strides[d]);
            view->strides[d] = natural;
        }
        int64_t stride = view->strides[d];
        if (d == operand->rank - 1) {
            if (UNLIKELY(stride != 1))
                return refuse_stride(operand, "a last stride of 1", stride);
        } else {
            if (!(operand->flags & TFOPS_OPERAND_ELEMENTS))
                binding->misfit |= (uint64_t)stride * elem_bytes;
            ordered &= extent <= 1 || stride > reach;
        }
        if (UNLIKELY(__builtin_mul_overflow(extent > 0 ? extent - 1 : 0, stride, &step) ||
                     __builtin_add_overflow(reach, step, &reach) ||
                     __builtin_mul_overflow(natural, extent, &natural)))
            return refuse_stride(operand, "a size below 2^63 elements", stride);
    }
    if (UNLIKELY(reach > INT64_MAX / (int64_t)elem_bytes - 1))
        return refuse_stride(operand, "a size below 2^63 bytes", reach);
    if (UNLIKELY(!ordered && operand->access != TFOPS_IN))
        return check_distinct(binding->request, operand, view, elem_bytes);
    return TFOPS_OK;
}

static inline enum tfops_status bind_dtype(
    struct binding *binding, const struct tfops_operand_spec *operand, enum tfops_dtype dtype)
{
    struct tfops_problem *problem = &binding->request->problem;
    uint8_t *bound = &problem->dtypes[operand->dtype];
    if (*bound ? UNLIKELY(*bound != dtype)
               : UNLIKELY((unsigned)dtype >= TFOPS_DTYPE_COUNT ||
                          !(binding->spec->dtypes[operand->dtype].allowed >> dtype & 1)))
        return refuse_dtype(problem, operand, dtype);
    *bound = (uint8_t)dtype;
    return TFOPS_OK;
}

static inline enum tfops_status bind_operand(
    struct binding *binding, size_t i, const struct tfops_tensor *tensor)
{
    const struct tfops_operand_spec *operand = &binding->spec->operands[i];
    struct tfops_view *view = &binding->request->operands[i];
    view->data = NULL;
    if (!tensor) {
        if (UNLIKELY(!(operand->flags & TFOPS_OPERAND_OPTIONAL)))
            return refuse_operand(operand, false);
        return TFOPS_OK;
    }
    enum tfops_status status = bind_dtype(binding, operand, tensor->dtype);
    if (UNLIKELY(status))
        return status;
    size_t elem_bytes = DTYPE_BYTES[tensor->dtype];
    status = bind_dims(binding, operand, tensor, view);
    if (!status)
        status = close_strides(binding, operand, view, elem_bytes);
    if (UNLIKELY(status))
        return status;
    uintptr_t address = (uintptr_t)tensor->data;
    if (!(operand->flags & TFOPS_OPERAND_ELEMENTS))
        binding->misfit |= address;
    if (UNLIKELY(address & (elem_bytes - 1)))
        return refuse_address(operand, tensor->data, elem_bytes);
    view->data = tensor->data;
    binding->request->problem.present |= 1u << i;
    return TFOPS_OK;
}

/* ---- overlap -------------------------------------------------------------------------------- */

/* The bytes an operand spans, its gaps included. */
static inline void span(const struct request *request, size_t i, uintptr_t *begin, uintptr_t *end)
{
    const struct tfops_operand_spec *operand = &request->problem.spec->operands[i];
    const struct tfops_view *view = &request->operands[i];
    int64_t reach = 1;
    for (int d = 0; d < operand->rank; d++)
        reach += (request->problem.dims[operand->dims[d]] - 1) * view->strides[d];
    *begin = (uintptr_t)view->data;
    *end = *begin + (uintptr_t)reach * DTYPE_BYTES[request->problem.dtypes[operand->dtype]];
}

/* Their ranges overlap; heads of one fused buffer, or columns side by side, do not. */
static bool share_memory(const struct request *request, size_t a, size_t b)
{
    const struct tfops_problem *problem = &request->problem;
    const struct tfops_operand_spec *const operands = problem->spec->operands;
    struct overlap_operand of_a, of_b;
    return describe(request, &operands[a], &request->operands[a], problem_operand_bytes(problem, a),
               &of_a) &&
           describe(request, &operands[b], &request->operands[b], problem_operand_bytes(problem, b),
               &of_b) &&
           overlap_between(&of_a, &of_b);
}

static NOINLINE enum tfops_status resolve_overlap(
    const struct request *request, size_t written, size_t other)
{
    const struct tfops_operand_spec *spec = request->problem.spec->operands;
    const struct tfops_view *a = &request->operands[written], *b = &request->operands[other];
    bool may = spec[written].may_alias >> other & 1 || spec[other].may_alias >> written & 1;
    bool same = a->data == b->data && spec[written].rank == spec[other].rank &&
                problem_operand_bytes(&request->problem, written) ==
                    problem_operand_bytes(&request->problem, other);
    for (int d = 0; same && d < spec[written].rank; d++)
        same = a->strides[d] == b->strides[d];
    if ((may && same) || !share_memory(request, written, other))
        return TFOPS_OK;
    char expected[128];
    snprintf(expected, sizeof expected,
        may ? "memory of its own, or exactly that of %s" : "no overlap with %s", spec[other].name);
    return error_set(
        TFOPS_E_OVERLAP, "request", spec[written].name, expected, "overlapping ranges");
}

static inline enum tfops_status check_overlap(const struct request *request)
{
    const struct tfops_spec *spec = request->problem.spec;
    uintptr_t begin[TFOPS_MAX_OPERANDS], end[TFOPS_MAX_OPERANDS];
    for (size_t i = 0; i < spec->n_operands; i++) {
        begin[i] = end[i] = 0;
        if (request->operands[i].data)
            span(request, i, &begin[i], &end[i]);
    }
    for (size_t i = 0; i < spec->n_operands; i++) {
        if (spec->operands[i].access == TFOPS_IN)
            continue;
        for (size_t k = 0; k < spec->n_operands; k++)
            if (k != i && (spec->operands[k].access == TFOPS_IN || k < i) && begin[i] < end[k] &&
                begin[k] < end[i]) {
                enum tfops_status status = resolve_overlap(request, i, k);
                if (UNLIKELY(status))
                    return status;
            }
    }
    return TFOPS_OK;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static inline enum tfops_status bind_numbers(
    const struct tfops_spec *spec, const struct tfops_args *args, struct request *request)
{
    for (size_t i = 0; i < spec->n_options; i++) {
        if (UNLIKELY(args->options[i] >= spec->options[i].n_values))
            return refuse_option(&spec->options[i], args->options[i]);
        request->problem.options[i] = args->options[i];
    }
    for (size_t i = spec->n_options; i < TFOPS_MAX_OPTIONS; i++)
        if (UNLIKELY(args->options[i]))
            return error_set(TFOPS_E_RANGE, "request", "options", "0 beyond the operator's options",
                "another number");
    for (size_t i = 0; i < spec->n_scalars; i++)
        request->scalars[i] =
            i < args->n_scalars ? args->scalars[i] : spec->scalars[i].default_value;
    for (size_t i = 0; i < spec->n_scalars; i++)
        if (UNLIKELY(!(request->scalars[i] >= spec->scalars[i].min &&
                       request->scalars[i] <= spec->scalars[i].max)))
            return refuse_scalar(&spec->scalars[i], request->scalars[i]);
    return TFOPS_OK;
}

/* Derived dimensions follow from what was bound; what a tensor says of one must agree. */
static NOINLINE enum tfops_status bind_derived(
    struct binding *binding, const struct tfops_args *args)
{
    struct tfops_problem *problem = &binding->request->problem;
    const struct tfops_problem shown = *problem;
    problem_derive(problem);
    for (size_t i = 0; i < binding->spec->n_operands; i++) {
        const struct tfops_operand_spec *operand = &binding->spec->operands[i];
        for (int d = 0; d < operand->rank && problem->present >> i & 1; d++)
            if (problem->dims[operand->dims[d]] != shown.dims[operand->dims[d]])
                return refuse_shape(problem, operand, args->operands[i], UINT32_MAX);
    }
    return TFOPS_OK;
}

static inline bool is_empty(const struct tfops_problem *problem)
{
    const struct tfops_spec *spec = problem->spec;
    for (size_t i = 0; i < spec->n_dims; i++)
        if (spec->dims[i].flags & TFOPS_DIM_DYNAMIC && !problem->dims[i])
            return true;
    return false;
}

static inline enum tfops_status check_addresses(const struct request *request)
{
    const struct tfops_spec *spec = request->problem.spec;
    for (size_t i = 0; i < spec->n_operands; i++)
        if (UNLIKELY(!request->operands[i].data && request->problem.present >> i & 1))
            return refuse_address(&spec->operands[i], NULL, 1);
    return TFOPS_OK;
}

enum tfops_status request_bind(
    const struct tfops_spec *spec, const struct tfops_args *args, struct request *ret_request)
{
    if (UNLIKELY(!spec || !args || args->size != sizeof *args ||
                 args->flags & ~TFOPS_BATCH_INVARIANT || args->n_scalars > spec->n_scalars))
        return refuse_args(spec, args);
    struct binding binding = {spec, ret_request, 0, 16};
    ret_request->problem = (struct tfops_problem){
        .size = sizeof ret_request->problem, .spec = spec, .flags = args->flags};
    enum tfops_status status = bind_numbers(spec, args, ret_request);
    for (size_t i = 0; !status && i < spec->n_operands; i++)
        status = bind_operand(&binding, i, args->operands[i]);
    if (UNLIKELY(status))
        return status;
    for (size_t i = 0; i < spec->n_dtypes; i++)
        if (!ret_request->problem.dtypes[i])
            ret_request->problem.dtypes[i] =
                (uint8_t)problem_default_dtype(&ret_request->problem, i);
    if (spec->derive)
        status = bind_derived(&binding, args);
    if (UNLIKELY(status))
        return status;
    ret_request->problem.align = 1u << __builtin_ctzll(binding.misfit);
    if (UNLIKELY(is_empty(&ret_request->problem)))
        return TFOPS_OK; /* no row at all: no memory is needed, none is touched */
    status = check_addresses(ret_request);
    if (!status)
        status = check_overlap(ret_request);
    return status;
}

enum tfops_status request_accepts(const struct tfops_problem *problem)
{
    char reason[TFOPS_REASON_BYTES] = "";
    const struct tfops_spec *spec = problem->spec;
    if (!spec->accepts || spec->accepts(spec->user, problem, reason))
        return TFOPS_OK;
    return refuse_reason(spec, reason);
}

enum tfops_status tfops_problem_from_args(
    const struct tfops_spec *spec, const struct tfops_args *args, struct tfops_problem *ret_problem)
{
    struct request request = {.problem.spec = spec};
    if (!spec || !ret_problem)
        return refuse_null(spec ? "ret_problem" : "spec");
    enum tfops_status status = request_bind(spec, args, &request);
    if (!status)
        status = request_accepts(&request.problem);
    if (!status)
        *ret_problem = request.problem;
    return status;
}
